;; p = softmax(factor * s), row by row, in place.
;;
;; s       float32 [rows], `ld` bytes from row to row, `count` columns that count
;; factor  1 / sqrt(head_dim)
;; padded  columns that end as 0 behind those that count, at least up to the next multiple of 4: rows are read in fours
(module
  (import "e" "memory" (memory 1))

  ;; e^x for x <= 88: 2^n p(r), x = n ln 2 + r, with the polynomial of Cephes' expf (about 1 ulp); 0 under -87.
  (func $exp (param $x v128) (result v128) (local $n v128) (local $r v128) (local $y v128)
    (local.set $x (f32x4.max (local.get $x) (v128.const f32x4 -87.3 -87.3 -87.3 -87.3)))
    (local.set $n (f32x4.nearest (f32x4.mul (local.get $x)
      (v128.const f32x4 1.44269504 1.44269504 1.44269504 1.44269504))))
    (local.set $r (f32x4.sub (f32x4.sub (local.get $x)
      (f32x4.mul (local.get $n) (v128.const f32x4 0.693359375 0.693359375 0.693359375 0.693359375)))
      (f32x4.mul (local.get $n) (v128.const f32x4 -2.12194440e-4 -2.12194440e-4 -2.12194440e-4 -2.12194440e-4))))
    (local.set $y (v128.const f32x4 1.9875691500e-4 1.9875691500e-4 1.9875691500e-4 1.9875691500e-4))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $r)) (v128.const f32x4 1.3981999507e-3 1.3981999507e-3 1.3981999507e-3 1.3981999507e-3)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $r)) (v128.const f32x4 8.3334519073e-3 8.3334519073e-3 8.3334519073e-3 8.3334519073e-3)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $r)) (v128.const f32x4 4.1665795894e-2 4.1665795894e-2 4.1665795894e-2 4.1665795894e-2)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $r)) (v128.const f32x4 1.6666665459e-1 1.6666665459e-1 1.6666665459e-1 1.6666665459e-1)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $r)) (v128.const f32x4 5.0000001201e-1 5.0000001201e-1 5.0000001201e-1 5.0000001201e-1)))
    (local.set $y (f32x4.add (f32x4.add (f32x4.mul (f32x4.mul (local.get $r) (local.get $r)) (local.get $y))
      (local.get $r)) (v128.const f32x4 1 1 1 1)))
    (f32x4.mul (local.get $y) (i32x4.shl
      (i32x4.add (i32x4.trunc_sat_f32x4_s (local.get $n)) (v128.const i32x4 127 127 127 127)) (i32.const 23))))

  (func (export "softmax") (param $s i32) (param $ld i32) (param $count i32) (param $rows i32) (param $factor f32)
    (param $padded i32)
    (local $i i32) (local $end i32) (local $v v128) (local $m v128)
    (local.set $end (i32.and (i32.add (i32.shl (local.get $count) (i32.const 2)) (i32.const 15)) (i32.const -16)))
    (loop $row
      (local.set $i (i32.shl (local.get $count) (i32.const 2)))
      (block $filled
        (loop $fill
          (br_if $filled (i32.ge_u (local.get $i) (local.get $end)))
          (f32.store (i32.add (local.get $s) (local.get $i)) (f32.const -inf))
          (local.set $i (i32.add (local.get $i) (i32.const 4)))
          (br $fill)))
      (local.set $m (v128.const f32x4 -inf -inf -inf -inf))
      (local.set $i (i32.const 0))
      (loop $largest
        (local.set $m (f32x4.max (local.get $m) (v128.load (i32.add (local.get $s) (local.get $i)))))
        (br_if $largest (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $m (f32x4.splat (f32.max (f32.max (f32x4.extract_lane 0 (local.get $m)) (f32x4.extract_lane 1 (local.get $m))) (f32.max (f32x4.extract_lane 2 (local.get $m)) (f32x4.extract_lane 3 (local.get $m))))))
      (local.set $v (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $powers
        (v128.store (i32.add (local.get $s) (local.get $i)) (call $exp (f32x4.mul (f32x4.splat (local.get $factor))
          (f32x4.sub (v128.load (i32.add (local.get $s) (local.get $i))) (local.get $m)))))
        (br_if $powers (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $i (i32.shl (local.get $count) (i32.const 2)))
      (memory.fill (i32.add (local.get $s) (local.get $i)) (i32.const 0)
        (i32.sub (i32.shl (local.get $padded) (i32.const 2)) (local.get $i)))
      (local.set $i (i32.const 0))
      (loop $sum
        (local.set $v (f32x4.add (local.get $v) (v128.load (i32.add (local.get $s) (local.get $i)))))
        (br_if $sum (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $v (f32x4.splat (f32.div (f32.const 1) (f32.add (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v))) (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))))
      (local.set $i (i32.const 0))
      (loop $scaled
        (v128.store (i32.add (local.get $s) (local.get $i))
          (f32x4.mul (local.get $v) (v128.load (i32.add (local.get $s) (local.get $i)))))
        (br_if $scaled (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
      (local.set $s (i32.add (local.get $s) (local.get $ld)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
