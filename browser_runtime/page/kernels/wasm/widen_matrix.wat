;; A matrix of 8 bits as int16, a scale a row, in the panels that matwide reads. Returns the largest sum of sizes of a row's
;; codes, which says how large a token's may be.
;;
;;   ws[n] = max_k |w[n, k]| / limit,  q[n, k] = round(w[n, k] / ws[n])
;;
;; codes, scales   the sections of a tensor: ../README.md
;; wide            int16 [panels of 8 rows][columns / 2][8 rows][2 columns]
;; ws              float32 [4 blocks]
;;
;; `blocks` row blocks, an even number; `columns` is a multiple of 4.
(module
  (import "e" "memory" (memory 1))

  ;; The scales of four rows.
  (func $scale (param $at i32) (result v128)
    (f32x4.mul (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)
      (v128.and (v128.const i32x4 0x8fffe000 0x8fffe000 0x8fffe000 0x8fffe000)
        (i32x4.shl (v128.load16x4_s (local.get $at)) (i32.const 13)))))

  (func $round (param $q v128) (param $factor v128) (result v128)
    (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $factor) (f32x4.convert_i32x4_s (local.get $q))))))

  ;; The largest size in each of four rows.
  (func $largest (param $codes i32) (param $scales i32) (param $columns i32) (result v128)
    (local $i i32) (local $v v128) (local $most v128)
    (loop $four
      (local.set $v (i8x16.abs (v128.load (i32.add (local.get $codes) (i32.shl (local.get $i) (i32.const 2))))))
      (local.set $v (i8x16.max_u (local.get $v) (i32x4.shr_u (local.get $v) (i32.const 16))))
      (local.set $v (i8x16.max_u (local.get $v) (i32x4.shr_u (local.get $v) (i32.const 8))))
      (local.set $most (f32x4.max (local.get $most) (f32x4.mul
        (call $scale (i32.add (local.get $scales) (i32.shl (i32.shr_u (local.get $i) (i32.const 5)) (i32.const 3))))
        (f32x4.convert_i32x4_s (v128.and (local.get $v) (v128.const i32x4 255 255 255 255))))))
      (br_if $four (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $columns))))
    (local.get $most))

  ;; Four rows; the sums of their codes' sizes.
  (func $rows (param $codes i32) (param $scales i32) (param $columns i32) (param $inverse v128) (param $to i32) (result v128)
    (local $i i32) (local $v v128) (local $f v128) (local $a v128) (local $b v128) (local $sum v128)
    (loop $four
      (local.set $v (v128.load (i32.add (local.get $codes) (i32.shl (local.get $i) (i32.const 2)))))
      (local.set $f (f32x4.mul (local.get $inverse)
        (call $scale (i32.add (local.get $scales) (i32.shl (i32.shr_u (local.get $i) (i32.const 5)) (i32.const 3))))))
      (local.set $a (call $round (i32x4.shr_s (i32x4.shl (local.get $v) (i32.const 24)) (i32.const 24)) (local.get $f)))
      (local.set $b (call $round (i32x4.shr_s (i32x4.shl (local.get $v) (i32.const 16)) (i32.const 24)) (local.get $f)))
      (local.set $sum (i32x4.add (local.get $sum) (i32x4.add (i32x4.abs (local.get $a)) (i32x4.abs (local.get $b)))))
      (v128.store (local.get $to) (v128.or (i32x4.shl (local.get $b) (i32.const 16))
        (v128.and (local.get $a) (v128.const i32x4 65535 65535 65535 65535))))
      (local.set $a (call $round (i32x4.shr_s (i32x4.shl (local.get $v) (i32.const 8)) (i32.const 24)) (local.get $f)))
      (local.set $b (call $round (i32x4.shr_s (local.get $v) (i32.const 24)) (local.get $f)))
      (local.set $sum (i32x4.add (local.get $sum) (i32x4.add (i32x4.abs (local.get $a)) (i32x4.abs (local.get $b)))))
      (v128.store offset=32 (local.get $to) (v128.or (i32x4.shl (local.get $b) (i32.const 16))
        (v128.and (local.get $a) (v128.const i32x4 65535 65535 65535 65535))))
      (local.set $to (i32.add (local.get $to) (i32.const 64)))
      (br_if $four (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $columns))))
    (local.get $sum))

  (func (export "widen_matrix") (param $codes i32) (param $scales i32) (param $wide i32) (param $ws i32) (param $blocks i32)
    (param $tiles i32) (param $columns i32) (param $limit f32) (result i32)
    (local $block i32) (local $most v128) (local $inverse v128) (local $longest v128)
    (loop $each
      (local.set $most (call $largest (local.get $codes) (local.get $scales) (local.get $columns)))
      (v128.store (local.get $ws) (f32x4.div (local.get $most) (f32x4.splat (local.get $limit))))
      ;; All codes are zero where a row is.
      (local.set $inverse (v128.and (f32x4.gt (local.get $most) (v128.const f32x4 0 0 0 0))
        (f32x4.div (f32x4.splat (local.get $limit)) (local.get $most))))
      (local.set $longest (i32x4.max_s (local.get $longest) (call $rows (local.get $codes) (local.get $scales)
        (local.get $columns) (local.get $inverse)
        (i32.add (local.get $wide) (i32.add
          (i32.mul (i32.shr_u (local.get $block) (i32.const 1)) (i32.shl (local.get $columns) (i32.const 4)))
          (i32.shl (i32.and (local.get $block) (i32.const 1)) (i32.const 4)))))))
      (local.set $codes (i32.add (local.get $codes) (i32.shl (local.get $tiles) (i32.const 8))))
      (local.set $scales (i32.add (local.get $scales) (i32.shl (local.get $tiles) (i32.const 4))))
      (local.set $ws (i32.add (local.get $ws) (i32.const 16)))
      (br_if $each (i32.lt_u (local.tee $block (i32.add (local.get $block) (i32.const 1))) (local.get $blocks))))
    (local.set $longest (i32x4.max_s (local.get $longest)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $longest) (local.get $longest))))
    (local.set $longest (i32x4.max_s (local.get $longest)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $longest) (local.get $longest))))
    (i32x4.extract_lane 0 (local.get $longest))))
