;; Activations of int16, one scale a token, in the panels that matwide reads.
;;
;;   a = max |x|,  xs = a / limit,  qx = round(x (limit / a))
;;
;; x        float32 [rows][ldx / 4]
;; codes    int16 [panels of 5 rows][columns / 2][rows of the panel][2 columns]: the last panel has what is left
;; scales   float32 [rows]
;; limit    the largest code, which keeps the sums of a product inside 32 bits
;;
;; `columns` is a multiple of 8. All codes are zero where a row is.
(module
  (import "e" "memory" (memory 1))

  (func $codes (param $x i32) (param $scale v128) (result v128)
    (i16x8.narrow_i32x4_s
      (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $scale) (v128.load (local.get $x)))))
      (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $scale) (v128.load offset=16 (local.get $x)))))))

  (func $row (param $x i32) (param $columns i32) (param $limit f32) (param $to i32) (param $step i32) (param $scale i32)
    (local $i i32) (local $a v128) (local $most f32)
    (local.set $columns (i32.shl (local.get $columns) (i32.const 2)))
    (loop $largest
      (local.set $a (f32x4.max (local.get $a) (f32x4.max
        (f32x4.abs (v128.load (i32.add (local.get $x) (local.get $i))))
        (f32x4.abs (v128.load offset=16 (i32.add (local.get $x) (local.get $i)))))))
      (br_if $largest (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 32))) (local.get $columns))))
    (local.set $most (f32.max (f32.max (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a)))
      (f32.max (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))
    (f32.store (local.get $scale) (f32.div (local.get $most) (local.get $limit)))
    (local.set $a (f32x4.splat (if (result f32) (f32.gt (local.get $most) (f32.const 0))
      (then (f32.div (local.get $limit) (local.get $most))) (else (f32.const 0)))))
    (local.set $i (i32.const 0))
    (loop $eight
      (call $store (call $codes (i32.add (local.get $x) (local.get $i)) (local.get $a)) (local.get $to) (local.get $step))
      (local.set $to (i32.add (local.get $to) (i32.shl (local.get $step) (i32.const 2))))
      (br_if $eight (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 32))) (local.get $columns)))))

  ;; Four pairs, `step` bytes apart.
  (func $store (param $pairs v128) (param $to i32) (param $step i32)
    (v128.store32_lane 0 (local.get $to) (local.get $pairs))
    (v128.store32_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $step))) (local.get $pairs))
    (v128.store32_lane 2 (local.tee $to (i32.add (local.get $to) (local.get $step))) (local.get $pairs))
    (v128.store32_lane 3 (i32.add (local.get $to) (local.get $step)) (local.get $pairs)))

  (func (export "widen") (param $x i32) (param $ldx i32) (param $codes i32) (param $scales i32) (param $rows i32)
    (param $columns i32) (param $limit f32) (local $panel i32) (local $i i32)
    (loop $panels
      (local.set $panel (select (local.get $rows) (i32.const 5) (i32.lt_u (local.get $rows) (i32.const 5))))
      (local.set $rows (i32.sub (local.get $rows) (local.get $panel)))
      (local.set $i (i32.const 0))
      (loop $each
        (call $row (local.get $x) (local.get $columns) (local.get $limit)
          (i32.add (local.get $codes) (i32.shl (local.get $i) (i32.const 2))) (i32.shl (local.get $panel) (i32.const 2))
          (local.get $scales))
        (local.set $x (i32.add (local.get $x) (local.get $ldx)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
        (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $panel))))
      (local.set $codes (i32.add (local.get $codes)
        (i32.shl (i32.mul (local.get $panel) (local.get $columns)) (i32.const 1))))
      (br_if $panels (local.get $rows)))))
