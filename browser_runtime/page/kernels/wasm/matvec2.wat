;; y = W x, W of 2 bits, x of int8: one token.
;;
;;   y[n] = S[n] * sum_g cs[n,g] xs[g] dot(q, qx)  +  M[n] * sum_g cm[n,g] sum[g]
;;
;; low, groups, rows   the sections of a tensor, or of a run of its row blocks: ../README.md
;; x                  int8 [64 tiles], xs float32 [2 tiles][scale, sum]: written by quantize
;; y                  float32 [4 blocks]
;;
;; A call computes `blocks` row blocks of 4 rows. The four 32-bit lanes of every vector are the four rows; x comes as
;; four columns a time, in all lanes. A sum of 6096 at most fits the int16 lanes.
(module
  (import "e" "memory" (memory 1))

  ;; Four fp16 in the low halves of i32 lanes, finite, as float32.
  (func $half (param $h v128) (result v128)
    (f32x4.mul
      (v128.or
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13))
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16)))
      (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))

  (func (export "matvec2") (param $low i32) (param $groups i32) (param $rows i32)
    (param $x0 i32) (param $xs0 i32) (param $y i32) (param $blocks i32) (param $tiles i32)
    (local $x i32) (local $xs i32) (local $j i32) (local $v v128) (local $q v128) (local $x4 v128)
    (local $t v128) (local $u v128) (local $acc v128) (local $min v128) (local $m63 v128) (local $m3 v128)
    (local.set $m3 (v128.const i32x4 0x03030303 0x03030303 0x03030303 0x03030303))
    (local.set $m63 (v128.const i32x4 63 63 63 63))
    (loop $block
      (local.set $acc (v128.const f32x4 0 0 0 0))
      (local.set $min (v128.const f32x4 0 0 0 0))
      (local.set $x (local.get $x0))
      (local.set $xs (local.get $xs0))
      (local.set $j (local.get $tiles))
      (loop $tile
        (local.set $u (i8x16.swizzle
        (v128.load (local.get $groups)) (v128.const i8x16 0 1 2 -1 3 4 5 -1 6 7 8 -1 9 10 11 -1)))
        ;; group 0 of the tile
        (local.set $t (v128.const i16x8 0 0 0 0 0 0 0 0))
        (local.set $v (v128.load offset=0 (local.get $low)))
        (local.set $q (v128.and (local.get $m3) (local.get $v)))
        (local.set $x4 (v128.load32_splat offset=0 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
        (local.set $x4 (v128.load32_splat offset=4 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
        (local.set $x4 (v128.load32_splat offset=8 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
        (local.set $x4 (v128.load32_splat offset=12 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $v (v128.load offset=16 (local.get $low)))
        (local.set $q (v128.and (local.get $m3) (local.get $v)))
        (local.set $x4 (v128.load32_splat offset=16 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
        (local.set $x4 (v128.load32_splat offset=20 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
        (local.set $x4 (v128.load32_splat offset=24 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
        (local.set $x4 (v128.load32_splat offset=28 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $acc (f32x4.add (local.get $acc) (f32x4.mul (v128.load32_splat offset=0 (local.get $xs))
            (f32x4.convert_i32x4_s (i32x4.mul (v128.and (local.get $u) (local.get $m63)) (i32x4.extadd_pairwise_i16x8_s (local.get $t)))))))
          (local.set $min (f32x4.add (local.get $min) (f32x4.mul (v128.load32_splat offset=4 (local.get $xs))
            (f32x4.convert_i32x4_s (v128.and (i32x4.shr_u (local.get $u) (i32.const 12)) (local.get $m63))))))
        ;; group 1 of the tile
        (local.set $t (v128.const i16x8 0 0 0 0 0 0 0 0))
        (local.set $v (v128.load offset=32 (local.get $low)))
        (local.set $q (v128.and (local.get $m3) (local.get $v)))
        (local.set $x4 (v128.load32_splat offset=32 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
        (local.set $x4 (v128.load32_splat offset=36 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
        (local.set $x4 (v128.load32_splat offset=40 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
        (local.set $x4 (v128.load32_splat offset=44 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $v (v128.load offset=48 (local.get $low)))
        (local.set $q (v128.and (local.get $m3) (local.get $v)))
        (local.set $x4 (v128.load32_splat offset=48 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
        (local.set $x4 (v128.load32_splat offset=52 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
        (local.set $x4 (v128.load32_splat offset=56 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $q (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
        (local.set $x4 (v128.load32_splat offset=60 (local.get $x)))
          (local.set $t (i16x8.add (local.get $t) (i16x8.relaxed_dot_i8x16_i7x16_s (local.get $x4) (local.get $q))))
        (local.set $acc (f32x4.add (local.get $acc) (f32x4.mul (v128.load32_splat offset=8 (local.get $xs))
            (f32x4.convert_i32x4_s (i32x4.mul (v128.and (i32x4.shr_u (local.get $u) (i32.const 6)) (local.get $m63)) (i32x4.extadd_pairwise_i16x8_s (local.get $t)))))))
          (local.set $min (f32x4.add (local.get $min) (f32x4.mul (v128.load32_splat offset=12 (local.get $xs))
            (f32x4.convert_i32x4_s (v128.and (i32x4.shr_u (local.get $u) (i32.const 18)) (local.get $m63))))))
        (local.set $low (i32.add (local.get $low) (i32.const 64)))
        (local.set $groups (i32.add (local.get $groups) (i32.const 12)))
        (local.set $x (i32.add (local.get $x) (i32.const 64)))
        (local.set $xs (i32.add (local.get $xs) (i32.const 16)))
        (br_if $tile (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
      (v128.store (local.get $y) (f32x4.add
        (f32x4.mul (call $half (v128.load16x4_u (local.get $rows))) (local.get $acc))
        (f32x4.mul (call $half (v128.load16x4_u offset=8 (local.get $rows))) (local.get $min))))
      (local.set $rows (i32.add (local.get $rows) (i32.const 16)))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1)))))))
