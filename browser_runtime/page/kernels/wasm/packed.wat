;; y = y + x' A^T, A packed blocks of the cache: scores of keys, sums of values.
;;
;;   y[h, r] += sum_c (s[r // group, c] q[r, c] + m[r // group, c]) x[h, c]
;;
;; s goes onto x, never onto the codes: x s becomes two int16, hi + lo / 65534, with one scale a head and group of rows.
;; Together they hold what a float32 does, and the products stay integers.
;;
;; block     `blocks` packed blocks of `rows` by `columns`, `block_bytes` from one to the next; in it the codes, the
;;           high plane at `high`, s at `scales`, m at `minima`: ../README.md
;; x         float32 [heads][ldx bytes]; the next block's x is `x_step` bytes on (values: 256; keys: 0)
;; y         float32 [heads][ldy bytes]; the next block's y is `y_step` bytes on (keys: 256; values: 0)
;; scratch   4 columns bytes for codes, then 4 columns heads for int16, 8 heads for scales and offsets, 4 columns
;;
;; columns is a multiple of 32; every head of a call reads the same block (grouped-query attention).
(module
  (import "e" "memory" (memory 1))
  (import "unpack" "unpack2" (func $unpack2 (param i32 i32 i32 i32)))
  (import "unpack" "unpack3" (func $unpack3 (param i32 i32 i32 i32)))
  (import "unpack" "unpack4" (func $unpack4 (param i32 i32 i32 i32)))

  ;; Four fp16 in the low halves of i32 lanes, finite, as float32.
  (func $half (param $h v128) (result v128)
    (f32x4.mul
      (v128.or
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13))
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16)))
      (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))

  ;; x s as int16 at `wide`; its scale and sum(x m) at `out`.
  (func $prepare (param $x i32) (param $s i32) (param $m i32) (param $columns i32) (param $wide i32) (param $out i32)
    (param $products i32) (local $c i32) (local $v v128) (local $max v128) (local $sum v128) (local $x4 v128) (local $a f32)
    (local.set $max (v128.const f32x4 0 0 0 0))
    (local.set $sum (v128.const f32x4 0 0 0 0))
    (loop $four
      (local.set $x4 (v128.load (i32.add (local.get $x) (i32.shl (local.get $c) (i32.const 2)))))
      (local.set $v (f32x4.mul (local.get $x4)
        (call $half (v128.load16x4_u (i32.add (local.get $s) (i32.shl (local.get $c) (i32.const 1)))))))
      (local.set $sum (f32x4.add (local.get $sum) (f32x4.mul (local.get $x4)
        (call $half (v128.load16x4_u (i32.add (local.get $m) (i32.shl (local.get $c) (i32.const 1))))))))
      (local.set $max (f32x4.max (local.get $max) (f32x4.abs (local.get $v))))
      (v128.store (i32.add (local.get $products) (i32.shl (local.get $c) (i32.const 2))) (local.get $v))
      (br_if $four (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 4))) (local.get $columns))))
    (local.set $a (f32.max (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max))) (f32.max (f32x4.extract_lane 2 (local.get $max)) (f32x4.extract_lane 3 (local.get $max)))))
    (f32.store (local.get $out) (f32.div (local.get $a) (f32.const 32767)))
    (f32.store offset=4 (local.get $out) (f32.add (f32.add (f32x4.extract_lane 0 (local.get $sum)) (f32x4.extract_lane 1 (local.get $sum))) (f32.add (f32x4.extract_lane 2 (local.get $sum)) (f32x4.extract_lane 3 (local.get $sum)))))
    (local.set $v (f32x4.splat (if (result f32) (f32.gt (local.get $a) (f32.const 1e-30))
      (then (f32.div (f32.const 32767) (local.get $a))) (else (f32.const 0)))))
    (local.set $c (i32.const 0))
    (loop $four_more
      (local.set $x4 (f32x4.mul (local.get $v) (v128.load (i32.add (local.get $products) (i32.shl (local.get $c) (i32.const 2))))))
      (local.set $max (f32x4.nearest (local.get $x4)))
      (local.set $sum (f32x4.nearest (f32x4.mul (f32x4.sub (local.get $x4) (local.get $max))
        (v128.const f32x4 65534 65534 65534 65534))))
      ;; Narrowed: hi in the low half, lo in the high one.
      (local.set $x4 (i16x8.narrow_i32x4_s (i32x4.trunc_sat_f32x4_s (local.get $max)) (i32x4.trunc_sat_f32x4_s (local.get $sum))))
      (v128.store64_lane 0 (i32.add (local.get $wide) (i32.shl (local.get $c) (i32.const 1))) (local.get $x4))
      (v128.store64_lane 1 (i32.add (local.get $wide) (i32.shl (i32.add (local.get $c) (local.get $columns)) (i32.const 1))) (local.get $x4))
      (br_if $four_more (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 4))) (local.get $columns)))))

  ;; One row block (codes as bytes) against one head.
  (func $dot (param $words i32) (param $hi i32) (param $count i32) (param $out i32) (param $y i32)
    (local $lo i32) (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $qa v128) (local $qb v128) (local $x4 v128)
    (local.set $lo (i32.add (local.get $hi) (i32.shl (local.get $count) (i32.const 3))))
    (local.set $a (v128.const i32x4 0 0 0 0))
    (local.set $b (v128.const i32x4 0 0 0 0))
    (local.set $c (v128.const i32x4 0 0 0 0))
    (local.set $d (v128.const i32x4 0 0 0 0))
    (loop $word
      (local.set $qa (v128.load8x8_u (local.get $words)))
      (local.set $qb (v128.load8x8_u offset=8 (local.get $words)))
      (local.set $x4 (v128.load64_splat (local.get $hi)))
      (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s (local.get $x4) (local.get $qa))))
      (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (local.get $x4) (local.get $qb))))
      (local.set $x4 (v128.load64_splat (local.get $lo)))
      (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s (local.get $x4) (local.get $qa))))
      (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s (local.get $x4) (local.get $qb))))
      (local.set $words (i32.add (local.get $words) (i32.const 16)))
      (local.set $hi (i32.add (local.get $hi) (i32.const 8)))
      (local.set $lo (i32.add (local.get $lo) (i32.const 8)))
      (br_if $word (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (v128.store (local.get $y) (f32x4.add (f32x4.add (v128.load (local.get $y)) (v128.load32_splat offset=4 (local.get $out)))
      (f32x4.mul (v128.load32_splat (local.get $out)) (f32x4.add
        (f32x4.convert_i32x4_s (i32x4.add
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $a) (local.get $b))
        (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $a) (local.get $b))))
        (f32x4.div (f32x4.convert_i32x4_s (i32x4.add
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $c) (local.get $d))
        (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $c) (local.get $d))))
          (v128.const f32x4 65534 65534 65534 65534)))))))

  ;; The codes of row block b as bytes; where they are.
  (func $codes (param $bits i32) (param $block i32) (param $high i32) (param $b i32) (param $groups i32) (param $scratch i32)
    (result i32) (local $u i32)
    (local.set $u (i32.mul (local.get $b) (local.get $groups)))
    (if (i32.eq (local.get $bits) (i32.const 8))
      (then (return (i32.add (local.get $block) (i32.shl (local.get $u) (i32.const 7))))))
    (local.set $block (i32.add (local.get $block) (i32.shl (local.get $u) (i32.const 5))))
    (if (i32.eq (local.get $bits) (i32.const 2))
      (then (call $unpack2 (local.get $block) (local.get $high) (local.get $scratch) (local.get $groups)))
      (else (if (i32.eq (local.get $bits) (i32.const 3))
        (then (call $unpack3 (local.get $block) (i32.add (local.get $high) (i32.shl (local.get $u) (i32.const 4)))
          (local.get $scratch) (local.get $groups)))
        (else (call $unpack4 (local.get $block) (i32.add (local.get $high) (i32.shl (local.get $u) (i32.const 5)))
          (local.get $scratch) (local.get $groups))))))
    (local.get $scratch))

  (func (export "packed") (param $bits i32) (param $block i32) (param $blocks i32) (param $block_bytes i32)
    (param $rows i32) (param $columns i32) (param $group i32) (param $high i32) (param $scales i32) (param $minima i32)
    (param $heads i32) (param $x i32) (param $ldx i32) (param $x_step i32)
    (param $y i32) (param $ldy i32) (param $y_step i32) (param $scratch i32)
    (local $h i32) (local $r i32) (local $end i32) (local $words i32) (local $wide i32) (local $sums i32) (local $products i32)
    (local $s i32) (local $m i32)
    (local.set $wide (i32.add (local.get $scratch) (i32.shl (local.get $columns) (i32.const 2))))
    (local.set $sums (i32.add (local.get $wide) (i32.shl (i32.mul (local.get $columns) (local.get $heads)) (i32.const 2))))
    (local.set $products (i32.add (local.get $sums) (i32.shl (local.get $heads) (i32.const 3))))
    (loop $each
      (local.set $s (i32.add (local.get $block) (local.get $scales)))
      (local.set $m (i32.add (local.get $block) (local.get $minima)))
      (local.set $r (i32.const 0))
      (loop $group_rows
        (local.set $h (i32.const 0))
        (loop $head
          (call $prepare (i32.add (local.get $x) (i32.mul (local.get $h) (local.get $ldx))) (local.get $s) (local.get $m)
            (local.get $columns)
            (i32.add (local.get $wide) (i32.mul (local.get $h) (i32.shl (local.get $columns) (i32.const 2))))
            (i32.add (local.get $sums) (i32.shl (local.get $h) (i32.const 3))) (local.get $products))
          (br_if $head (i32.lt_u (local.tee $h (i32.add (local.get $h) (i32.const 1))) (local.get $heads))))
        (local.set $end (i32.add (local.get $r) (local.get $group)))
        (loop $row_block
          (local.set $words (call $codes (local.get $bits) (local.get $block) (i32.add (local.get $block) (local.get $high))
            (i32.shr_u (local.get $r) (i32.const 2)) (i32.shr_u (local.get $columns) (i32.const 5)) (local.get $scratch)))
          (local.set $h (i32.const 0))
          (loop $head
            (call $dot (local.get $words)
              (i32.add (local.get $wide) (i32.mul (local.get $h) (i32.shl (local.get $columns) (i32.const 2))))
              (i32.shr_u (local.get $columns) (i32.const 2))
              (i32.add (local.get $sums) (i32.shl (local.get $h) (i32.const 3)))
              (i32.add (i32.add (local.get $y) (i32.mul (local.get $h) (local.get $ldy))) (i32.shl (local.get $r) (i32.const 2))))
            (br_if $head (i32.lt_u (local.tee $h (i32.add (local.get $h) (i32.const 1))) (local.get $heads))))
          (br_if $row_block (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 4))) (local.get $end))))
        (local.set $s (i32.add (local.get $s) (i32.shl (local.get $columns) (i32.const 1))))
        (local.set $m (i32.add (local.get $m) (i32.shl (local.get $columns) (i32.const 1))))
        (br_if $group_rows (i32.lt_u (local.get $r) (local.get $rows))))
      (local.set $block (i32.add (local.get $block) (local.get $block_bytes)))
      (local.set $x (i32.add (local.get $x) (local.get $x_step)))
      (local.set $y (i32.add (local.get $y) (local.get $y_step)))
      (br_if $each (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1)))))))
