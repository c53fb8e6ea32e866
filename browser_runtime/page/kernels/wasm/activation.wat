;; silu: y = gate / (1 + e^-gate) * up. add: y = y + x.
;;
;; gate, up, y   float32 [count]; y may be gate
;; x             float32 [count], a residual, or a bias that is added to each of `rows` rows of `count`
;;
;; `count` is a multiple of 4.
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

  (func (export "silu") (param $gate i32) (param $up i32) (param $y i32) (param $count i32)
    (local $i i32) (local $g v128) (local $one v128)
    (local.set $one (v128.const f32x4 1 1 1 1))
    (local.set $count (i32.shl (local.get $count) (i32.const 2)))
    (loop $four
      (local.set $g (v128.load (i32.add (local.get $gate) (local.get $i))))
      (v128.store (i32.add (local.get $y) (local.get $i)) (f32x4.mul
        (f32x4.div (local.get $g) (f32x4.add (local.get $one)
          (call $exp (f32x4.min (f32x4.neg (local.get $g)) (v128.const f32x4 88 88 88 88)))))
        (v128.load (i32.add (local.get $up) (local.get $i)))))
      (br_if $four (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $count)))))

  (func (export "add") (param $y i32) (param $x i32) (param $count i32) (param $rows i32) (local $i i32)
    (local.set $count (i32.shl (local.get $count) (i32.const 2)))
    (loop $row
      (local.set $i (i32.const 0))
      (loop $four
        (v128.store (i32.add (local.get $y) (local.get $i)) (f32x4.add
          (v128.load (i32.add (local.get $y) (local.get $i))) (v128.load (i32.add (local.get $x) (local.get $i)))))
        (br_if $four (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $count))))
      (local.set $y (i32.add (local.get $y) (local.get $count)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
