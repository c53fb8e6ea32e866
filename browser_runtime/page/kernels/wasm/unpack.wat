;; The codes of one row block, 2, 3 or 4 bits, as bytes; the scales of its groups as int16, twice each; the minima as
;; float32.
;;
;;   out[16 (j // 4) + 4 r + j % 4] = q[r, j]                      unpack2, unpack3, unpack4: `count` groups of 32 columns
;;   out = S[r], M[r], then cs[r, g], cm[r, g] of each group g      scales: `tiles` tiles, so 2 tiles groups g
;;
;; low, high, groups, rows   where the row block begins in the sections of ../README.md; unpack2 reads no high
;; out                       uint8 [count][32 columns / 4][4 rows][4 columns]; of scales float32 [2][4 rows], then of each
;;                           group int16 [4 rows][2] and float32 [4 rows]
(module
  (import "e" "memory" (memory 1))

  ;; Four fp16 in the low halves of i32 lanes, finite, as float32.
  (func $half (param $h v128) (result v128)
    (f32x4.mul
      (v128.or
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13))
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16)))
      (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))

  (func (export "unpack2") (param $low i32) (param $high i32) (param $out i32) (param $count i32)
    (local $v v128) (local $m3 v128)
    (local.set $m3 (v128.const i32x4 0x03030303 0x03030303 0x03030303 0x03030303))
    (loop $group
      (local.set $v (v128.load offset=0 (local.get $low)))
      (v128.store offset=0 (local.get $out) (v128.and (local.get $m3) (local.get $v)))
      (v128.store offset=16 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
      (v128.store offset=32 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
      (v128.store offset=48 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
      (local.set $v (v128.load offset=16 (local.get $low)))
      (v128.store offset=64 (local.get $out) (v128.and (local.get $m3) (local.get $v)))
      (v128.store offset=80 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 2))))
      (v128.store offset=96 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 4))))
      (v128.store offset=112 (local.get $out) (v128.and (local.get $m3) (i16x8.shr_u (local.get $v) (i32.const 6))))
      (local.set $low (i32.add (local.get $low) (i32.const 32)))
      (local.set $out (i32.add (local.get $out) (i32.const 128)))
      (br_if $group (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  (func (export "unpack3") (param $low i32) (param $high i32) (param $out i32) (param $count i32)
    (local $v v128) (local $h v128) (local $b v128) (local $m15 v128) (local $m33 v128) (local $m44 v128)
    (local.set $m15 (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))
    (local.set $m33 (v128.const i32x4 0x33333333 0x33333333 0x33333333 0x33333333))
    (local.set $m44 (v128.const i32x4 0x44444444 0x44444444 0x44444444 0x44444444))
    (loop $group
      (local.set $h (v128.load (local.get $high)))
      (local.set $v (v128.load offset=0 (local.get $low)))
      (local.set $b (v128.or (v128.and (local.get $v) (local.get $m33)) (v128.and (i16x8.shl (local.get $h) (i32.const 2)) (local.get $m44))))
      (v128.store offset=0 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=32 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $b (v128.or (v128.and (i16x8.shr_u (local.get $v) (i32.const 2)) (local.get $m33)) (v128.and (i16x8.shl (local.get $h) (i32.const 1)) (local.get $m44))))
      (v128.store offset=16 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=48 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $v (v128.load offset=16 (local.get $low)))
      (local.set $b (v128.or (v128.and (local.get $v) (local.get $m33)) (v128.and (local.get $h) (local.get $m44))))
      (v128.store offset=64 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=96 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $b (v128.or (v128.and (i16x8.shr_u (local.get $v) (i32.const 2)) (local.get $m33)) (v128.and (i16x8.shr_u (local.get $h) (i32.const 1)) (local.get $m44))))
      (v128.store offset=80 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=112 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $low (i32.add (local.get $low) (i32.const 32)))
      (local.set $high (i32.add (local.get $high) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 128)))
      (br_if $group (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  (func (export "unpack4") (param $low i32) (param $high i32) (param $out i32) (param $count i32)
    (local $v v128) (local $h v128) (local $b v128) (local $m15 v128) (local $m33 v128) (local $mcc v128)
    (local.set $m15 (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))
    (local.set $m33 (v128.const i32x4 0x33333333 0x33333333 0x33333333 0x33333333))
    (local.set $mcc (v128.const i32x4 0xcccccccc 0xcccccccc 0xcccccccc 0xcccccccc))
    (loop $group
      (local.set $v (v128.load offset=0 (local.get $low)))
      (local.set $h (v128.load offset=0 (local.get $high)))
      (local.set $b (v128.or (v128.and (local.get $v) (local.get $m33)) (v128.and (i16x8.shl (local.get $h) (i32.const 2)) (local.get $mcc))))
      (v128.store offset=0 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=32 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $b (v128.or (v128.and (i16x8.shr_u (local.get $v) (i32.const 2)) (local.get $m33)) (v128.and (local.get $h) (local.get $mcc))))
      (v128.store offset=16 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=48 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $v (v128.load offset=16 (local.get $low)))
      (local.set $h (v128.load offset=16 (local.get $high)))
      (local.set $b (v128.or (v128.and (local.get $v) (local.get $m33)) (v128.and (i16x8.shl (local.get $h) (i32.const 2)) (local.get $mcc))))
      (v128.store offset=64 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=96 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $b (v128.or (v128.and (i16x8.shr_u (local.get $v) (i32.const 2)) (local.get $m33)) (v128.and (local.get $h) (local.get $mcc))))
      (v128.store offset=80 (local.get $out) (v128.and (local.get $m15) (local.get $b)))
      (v128.store offset=112 (local.get $out) (v128.and (local.get $m15) (i16x8.shr_u (local.get $b) (i32.const 4))))
      (local.set $low (i32.add (local.get $low) (i32.const 32)))
      (local.set $high (i32.add (local.get $high) (i32.const 32)))
      (local.set $out (i32.add (local.get $out) (i32.const 128)))
      (br_if $group (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  (func (export "scales") (param $groups i32) (param $rows i32) (param $out i32) (param $tiles i32)
    (local $u v128) (local $cs v128)
    (v128.store (local.get $out) (call $half (v128.load16x4_u (local.get $rows))))
    (v128.store offset=16 (local.get $out) (call $half (v128.load16x4_u offset=8 (local.get $rows))))
    (loop $tile
      (local.set $u (v128.load (local.get $groups)))
      (local.set $cs (i8x16.swizzle (local.get $u) (v128.const i8x16 0 1 0 1 3 4 3 4 6 7 6 7 9 10 9 10)))
      (local.set $u (i8x16.swizzle (local.get $u) (v128.const i8x16 1 2 -1 -1 4 5 -1 -1 7 8 -1 -1 10 11 -1 -1)))
      (v128.store offset=32 (local.get $out)
        (v128.and (local.get $cs) (v128.const i32x4 0x3f003f 0x3f003f 0x3f003f 0x3f003f)))
      (v128.store offset=48 (local.get $out) (f32x4.convert_i32x4_s
        (v128.and (i32x4.shr_u (local.get $u) (i32.const 4)) (v128.const i32x4 63 63 63 63))))
      (v128.store offset=64 (local.get $out) (v128.and
        (i16x8.shr_u (local.get $cs) (i32.const 6)) (v128.const i32x4 0x3f003f 0x3f003f 0x3f003f 0x3f003f)))
      (v128.store offset=80 (local.get $out) (f32x4.convert_i32x4_s (i32x4.shr_u (local.get $u) (i32.const 10))))
      (local.set $groups (i32.add (local.get $groups) (i32.const 12)))
      (local.set $out (i32.add (local.get $out) (i32.const 64)))
      (br_if $tile (local.tee $tiles (i32.sub (local.get $tiles) (i32.const 1)))))))
