;; LayerNorm of a sum: y = (z - mean z) / sqrt(mean (z - mean z)^2 + eps) * weight + bias with z = x + r, row by row.
;;
;; x, r, y        float32 [rows], `ld` bytes from row to row; y may be x
;; weight, bias   float32 [width]
;;
;; `width` is a multiple of 4.
(module
  (import "e" "memory" (memory 1))

  (func $total (param $v v128) (result f32)
    (f32.add (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
      (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))

  (func (export "layer_norm") (param $x i32) (param $r i32) (param $weight i32) (param $bias i32) (param $y i32)
    (param $ld i32) (param $rows i32) (param $width i32) (param $eps f32)
    (local $i i32) (local $end i32) (local $sum v128) (local $mean v128) (local $v v128) (local $n f32)
    (local.set $end (i32.shl (local.get $width) (i32.const 2)))
    (local.set $n (f32.convert_i32_u (local.get $width)))
    (loop $row
      (local.set $sum (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $sums
        (local.set $v (f32x4.add (v128.load (i32.add (local.get $x) (local.get $i)))
          (v128.load (i32.add (local.get $r) (local.get $i)))))
        (v128.store (i32.add (local.get $y) (local.get $i)) (local.get $v))
        (local.set $sum (f32x4.add (local.get $sum) (local.get $v)))
        (br_if $sums (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $mean (f32x4.splat (f32.div (call $total (local.get $sum)) (local.get $n))))
      (local.set $sum (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $squares
        (local.set $v (f32x4.sub (v128.load (i32.add (local.get $y) (local.get $i))) (local.get $mean)))
        (local.set $sum (f32x4.add (local.get $sum) (f32x4.mul (local.get $v) (local.get $v))))
        (br_if $squares (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $sum (f32x4.splat (f32.div (f32.const 1) (f32.sqrt (f32.add (local.get $eps)
        (f32.div (call $total (local.get $sum)) (local.get $n)))))))
      (local.set $i (i32.const 0))
      (loop $scaled
        (v128.store (i32.add (local.get $y) (local.get $i)) (f32x4.add
          (v128.load (i32.add (local.get $bias) (local.get $i)))
          (f32x4.mul (v128.load (i32.add (local.get $weight) (local.get $i))) (f32x4.mul (local.get $sum)
            (f32x4.sub (v128.load (i32.add (local.get $y) (local.get $i))) (local.get $mean))))))
        (br_if $scaled (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $x (i32.add (local.get $x) (local.get $ld)))
      (local.set $r (i32.add (local.get $r) (local.get $ld)))
      (local.set $y (i32.add (local.get $y) (local.get $ld)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
