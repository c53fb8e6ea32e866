;; append: the newest keys or values as fp16 into their ring. pack: a full block of 64 tokens into few bits.
;;
;;   append   ring[i] = fp16(x[i]), to nearest, ties to even; at most 65504
;;   pack     s = fp16((max - min) (1 - 2 clip) / (2^bits - 1)),  m = fp16(min + (max - min) clip),
;;            q = clamp(round((x - m) / s), 0, 2^bits - 1), or 0 where s is 0
;;
;; A block is a matrix of `rows` by `columns` (keys: 64 tokens by channels; values: channels by 64 tokens); a group is
;; `group` rows of one column; `clip` of its range is cut off at each end.
;;
;; x, ring   float32 [count], fp16 [count]
;; source    fp16: row r, column c is at source + r row_bytes + c column_bytes
;; low       the block's codes, all 0 before: low, high and s, m as ../README.md lays out; high is where `high` begins
;; s, m      fp16 [rows / group][columns]
;;
;; Once every 64 tokens, so nothing here is made for speed.
(module
  (import "e" "memory" (memory 1))

  (func $to_half (param $f f32) (result i32) (local $b i32) (local $a i32)
    (local.set $b (i32.reinterpret_f32 (local.get $f)))
    (local.set $a (i32.and (local.get $b) (i32.const 0x7fffffff)))
    (i32.or (i32.and (i32.shr_u (local.get $b) (i32.const 16)) (i32.const 0x8000))
      (if (result i32) (i32.ge_u (local.get $a) (i32.const 0x477ff000))
        (then (i32.const 0x7bff))
        (else (if (result i32) (i32.lt_u (local.get $a) (i32.const 0x38800000))
          ;; Subnormal: adding 0.5 shifts the number into place and rounds it.
          (then (i32.sub (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get $a)) (f32.const 0.5)))
            (i32.const 0x3f000000)))
          (else (i32.shr_u (i32.add (i32.add (local.get $a) (i32.const 0xc8000fff))
            (i32.and (i32.shr_u (local.get $a) (i32.const 13)) (i32.const 1))) (i32.const 13))))))))

  (func $from_half (param $h i32) (result f32)
    (f32.mul (f32.reinterpret_i32 (i32.or
      (i32.shl (i32.and (local.get $h) (i32.const 0x7fff)) (i32.const 13))
      (i32.shl (i32.and (local.get $h) (i32.const 0x8000)) (i32.const 16)))) (f32.const 0x1p112)))

  (func (export "append") (param $x i32) (param $ring i32) (param $count i32)
    (loop $one
      (i32.store16 (local.get $ring) (call $to_half (f32.load (local.get $x))))
      (local.set $x (i32.add (local.get $x) (i32.const 4)))
      (local.set $ring (i32.add (local.get $ring) (i32.const 2)))
      (br_if $one (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  ;; Puts code q of row r, column c into the block.
  (func $put (param $bits i32) (param $low i32) (param $high i32) (param $groups i32) (param $r i32) (param $c i32)
    (param $q i32) (local $u i32) (local $at i32) (local $a i32) (local $p i32) (local $lane i32)
    (local.set $u (i32.add (i32.mul (i32.shr_u (local.get $r) (i32.const 2)) (local.get $groups))
      (i32.shr_u (local.get $c) (i32.const 5))))
    (local.set $lane (i32.add (i32.shl (i32.and (local.get $r) (i32.const 3)) (i32.const 2))
      (i32.and (local.get $c) (i32.const 3))))
    (if (i32.eq (local.get $bits) (i32.const 8))
      (then
        (i32.store8 (i32.add (local.get $low) (i32.add (i32.shl (local.get $u) (i32.const 7))
          (i32.add (i32.shl (i32.and (i32.shr_u (local.get $c) (i32.const 2)) (i32.const 7)) (i32.const 4))
            (local.get $lane)))) (local.get $q))
        (return)))
    (local.set $a (i32.and (i32.shr_u (local.get $c) (i32.const 4)) (i32.const 1)))
    (local.set $p (i32.and (i32.shr_u (local.get $c) (i32.const 2)) (i32.const 3)))
    (local.set $at (i32.add (i32.shl (local.get $u) (i32.const 5))
      (i32.add (i32.shl (local.get $a) (i32.const 4)) (local.get $lane))))
    (call $or (i32.add (local.get $low) (local.get $at))
      (i32.shl (i32.and (local.get $q) (i32.const 3)) (i32.shl (local.get $p) (i32.const 1))))
    (if (i32.eq (local.get $bits) (i32.const 4))
      (then (call $or (i32.add (local.get $high) (local.get $at))
        (i32.shl (i32.shr_u (local.get $q) (i32.const 2)) (i32.shl (local.get $p) (i32.const 1))))))
    (if (i32.eq (local.get $bits) (i32.const 3))
      (then (call $or (i32.add (local.get $high) (i32.add (i32.shl (local.get $u) (i32.const 4)) (local.get $lane)))
        (i32.shl (i32.shr_u (local.get $q) (i32.const 2))
          (i32.add (i32.shl (i32.shr_u (local.get $p) (i32.const 1)) (i32.const 2))
            (i32.add (i32.shl (local.get $a) (i32.const 1)) (i32.and (local.get $p) (i32.const 1)))))))))

  (func $or (param $at i32) (param $bits i32)
    (i32.store8 (local.get $at) (i32.or (i32.load8_u (local.get $at)) (local.get $bits))))

  (func (export "pack") (param $bits i32) (param $source i32) (param $row_bytes i32) (param $column_bytes i32)
    (param $rows i32) (param $columns i32) (param $group i32)
    (param $low i32) (param $high i32) (param $s i32) (param $m i32) (param $clip f32)
    (local $r0 i32) (local $r i32) (local $c i32) (local $end i32) (local $at i32)
    (local $x f32) (local $min f32) (local $max f32) (local $levels f32) (local $scale f32) (local $h i32)
    (local.set $levels (f32.convert_i32_u (i32.sub (i32.shl (i32.const 1) (local.get $bits)) (i32.const 1))))
    (loop $group_rows
      (local.set $end (i32.add (local.get $r0) (local.get $group)))
      (local.set $c (i32.const 0))
      (loop $column
        (local.set $min (f32.const inf))
        (local.set $max (f32.const -inf))
        (local.set $r (local.get $r0))
        (loop $range
          (local.set $x (call $from_half (i32.load16_u (i32.add (local.get $source) (i32.add
            (i32.mul (local.get $r) (local.get $row_bytes)) (i32.mul (local.get $c) (local.get $column_bytes)))))))
          (local.set $min (f32.min (local.get $min) (local.get $x)))
          (local.set $max (f32.max (local.get $max) (local.get $x)))
          (br_if $range (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 1))) (local.get $end))))
        (local.set $max (f32.sub (local.get $max) (local.get $min)))
        (local.set $h (call $to_half (f32.div
          (f32.mul (local.get $max) (f32.sub (f32.const 1) (f32.mul (f32.const 2) (local.get $clip))))
          (local.get $levels))))
        (local.set $scale (call $from_half (local.get $h)))
        (i32.store16 (local.get $s) (local.get $h))
        (i32.store16 (local.get $m) (call $to_half
          (f32.add (local.get $min) (f32.mul (local.get $max) (local.get $clip)))))
        (local.set $min (call $from_half (i32.load16_u (local.get $m))))
        (if (f32.gt (local.get $scale) (f32.const 0))
          (then
            (local.set $r (local.get $r0))
            (loop $code
              (local.set $x (call $from_half (i32.load16_u (i32.add (local.get $source) (i32.add
                (i32.mul (local.get $r) (local.get $row_bytes)) (i32.mul (local.get $c) (local.get $column_bytes)))))))
              (call $put (local.get $bits) (local.get $low) (local.get $high)
                (i32.shr_u (local.get $columns) (i32.const 5)) (local.get $r) (local.get $c)
                (i32.trunc_sat_f32_u (f32.min (local.get $levels) (f32.max (f32.const 0) (f32.nearest
                  (f32.div (f32.sub (local.get $x) (local.get $min)) (local.get $scale)))))))
              (br_if $code (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 1))) (local.get $end))))))
        (local.set $s (i32.add (local.get $s) (i32.const 2)))
        (local.set $m (i32.add (local.get $m) (i32.const 2)))
        (br_if $column (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $columns))))
      (br_if $group_rows (i32.lt_u (local.tee $r0 (local.get $end)) (local.get $rows))))))
