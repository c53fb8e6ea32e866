;; RMSNorm: y = x / sqrt(mean(x^2) + eps) * weight, row by row.
;;
;; x, y     float32 [rows], `ldx` and `ldy` bytes from row to row; y may be x
;; weight   float32 [width]
;;
;; `width` is the number of columns that count; rows are read and written in fours, so they are filled up with zeros
;; to a multiple of 4, and so is the weight.
(module
  (import "e" "memory" (memory 1))
  (func (export "norm") (param $x i32) (param $ldx i32) (param $weight i32) (param $y i32) (param $ldy i32)
    (param $rows i32) (param $width i32) (param $eps f32)
    (local $i i32) (local $end i32) (local $sum v128) (local $v v128) (local $f v128)
    (local.set $end (i32.and (i32.add (i32.shl (local.get $width) (i32.const 2)) (i32.const 15)) (i32.const -16)))
    (loop $row
      (local.set $sum (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $squares
        (local.set $v (v128.load (i32.add (local.get $x) (local.get $i))))
        (local.set $sum (f32x4.add (local.get $sum) (f32x4.mul (local.get $v) (local.get $v))))
        (br_if $squares (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $f (f32x4.splat (f32.div (f32.const 1) (f32.sqrt (f32.add (local.get $eps) (f32.div
        (f32.add (f32.add (f32x4.extract_lane 0 (local.get $sum)) (f32x4.extract_lane 1 (local.get $sum))) (f32.add (f32x4.extract_lane 2 (local.get $sum)) (f32x4.extract_lane 3 (local.get $sum))))
        (f32.convert_i32_u (local.get $width))))))))
      (local.set $i (i32.const 0))
      (loop $scaled
        (v128.store (i32.add (local.get $y) (local.get $i)) (f32x4.mul
          (f32x4.mul (v128.load (i32.add (local.get $x) (local.get $i))) (local.get $f))
          (v128.load (i32.add (local.get $weight) (local.get $i)))))
        (br_if $scaled (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $x (i32.add (local.get $x) (local.get $ldx)))
      (local.set $y (i32.add (local.get $y) (local.get $ldy)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
