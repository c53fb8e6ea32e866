;; Activations of int8, one scale a group of 32.
;;
;;   a = max |x|,  xs = a / 127,  qx = round(x (127 / a)),  sum = xs * (sum of qx)
;;
;; x        float32 [32 count], padding included
;; codes    int8 [32 count]
;; wide     int16 [32 count], the same numbers: what 8-bit weights are multiplied with
;; scales   float32 [count][scale, sum]
;;
;; A call does `count` groups: those of all tokens, whose rows follow each other without a gap.
(module
  (import "e" "memory" (memory 1))
  (func (export "quantize") (param $x i32) (param $codes i32) (param $wide i32) (param $scales i32) (param $count i32)
    (local $v0 v128) (local $v1 v128) (local $v2 v128) (local $v3 v128) (local $v4 v128) (local $v5 v128) (local $v6 v128) (local $v7 v128)
    (local $a v128) (local $t v128) (local $max f32) (local $inv f32) (local $scale f32)
    (loop $group
      (local.set $v0 (v128.load offset=0 (local.get $x)))
      (local.set $v1 (v128.load offset=16 (local.get $x)))
      (local.set $v2 (v128.load offset=32 (local.get $x)))
      (local.set $v3 (v128.load offset=48 (local.get $x)))
      (local.set $v4 (v128.load offset=64 (local.get $x)))
      (local.set $v5 (v128.load offset=80 (local.get $x)))
      (local.set $v6 (v128.load offset=96 (local.get $x)))
      (local.set $v7 (v128.load offset=112 (local.get $x)))
      (local.set $a (f32x4.max (f32x4.max (f32x4.max (f32x4.max (f32x4.max (f32x4.max (f32x4.max (f32x4.abs (local.get $v0))
        (f32x4.abs (local.get $v1)))
        (f32x4.abs (local.get $v2)))
        (f32x4.abs (local.get $v3)))
        (f32x4.abs (local.get $v4)))
        (f32x4.abs (local.get $v5)))
        (f32x4.abs (local.get $v6)))
        (f32x4.abs (local.get $v7))))
      (local.set $max (f32.max (f32.max (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a))) (f32.max (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))
      (local.set $scale (f32.div (local.get $max) (f32.const 127)))
      (local.set $inv (if (result f32) (f32.gt (local.get $max) (f32.const 0))
        (then (f32.div (f32.const 127) (local.get $max))) (else (f32.const 0))))
      (local.set $v0 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v0) (f32x4.splat (local.get $inv))))))
      (local.set $v1 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v1) (f32x4.splat (local.get $inv))))))
      (local.set $v2 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v2) (f32x4.splat (local.get $inv))))))
      (local.set $v3 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v3) (f32x4.splat (local.get $inv))))))
      (local.set $v4 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v4) (f32x4.splat (local.get $inv))))))
      (local.set $v5 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v5) (f32x4.splat (local.get $inv))))))
      (local.set $v6 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v6) (f32x4.splat (local.get $inv))))))
      (local.set $v7 (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $v7) (f32x4.splat (local.get $inv))))))
      (local.set $v0 (i16x8.narrow_i32x4_s (local.get $v0) (local.get $v1)))
      (v128.store offset=0 (local.get $wide) (local.get $v0))
      (local.set $v1 (i16x8.narrow_i32x4_s (local.get $v2) (local.get $v3)))
      (v128.store offset=16 (local.get $wide) (local.get $v1))
      (local.set $v2 (i16x8.narrow_i32x4_s (local.get $v4) (local.get $v5)))
      (v128.store offset=32 (local.get $wide) (local.get $v2))
      (local.set $v3 (i16x8.narrow_i32x4_s (local.get $v6) (local.get $v7)))
      (v128.store offset=48 (local.get $wide) (local.get $v3))
      (v128.store (local.get $codes) (i8x16.narrow_i16x8_s (local.get $v0) (local.get $v1)))
      (v128.store offset=16 (local.get $codes) (i8x16.narrow_i16x8_s (local.get $v2) (local.get $v3)))
      (local.set $t (i32x4.extadd_pairwise_i16x8_s (i16x8.add
        (i16x8.add (local.get $v0) (local.get $v1)) (i16x8.add (local.get $v2) (local.get $v3)))))
      (f32.store (local.get $scales) (local.get $scale))
      (f32.store offset=4 (local.get $scales) (f32.mul (local.get $scale) (f32.convert_i32_s (i32.add
        (i32.add (i32x4.extract_lane 0 (local.get $t)) (i32x4.extract_lane 1 (local.get $t)))
        (i32.add (i32x4.extract_lane 2 (local.get $t)) (i32x4.extract_lane 3 (local.get $t)))))))
      (local.set $x (i32.add (local.get $x) (i32.const 128)))
      (local.set $codes (i32.add (local.get $codes) (i32.const 32)))
      (local.set $wide (i32.add (local.get $wide) (i32.const 64)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 8)))
      (br_if $group (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))
