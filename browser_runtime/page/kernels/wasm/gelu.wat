;; gelu: y = x / 2 (1 + erf(x / sqrt 2)). relu: y = max(x, 0). Both in place.
;;
;; x        float32 [count]
;;
;; erf by Abramowitz and Stegun's 7.1.26, which is off by at most 1.5e-7. `count` is a multiple of 4.
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

  ;; erf(|x| / sqrt 2), with t = 1 / (1 + p |x| / sqrt 2).
  (func $erf (param $x v128) (result v128) (local $t v128) (local $y v128)
    (local.set $t (f32x4.div (v128.const f32x4 1 1 1 1) (f32x4.add (v128.const f32x4 1 1 1 1) (f32x4.mul
      (f32x4.abs (local.get $x)) (v128.const f32x4 0.231641888 0.231641888 0.231641888 0.231641888)))))
    (local.set $y (v128.const f32x4 1.061405429 1.061405429 1.061405429 1.061405429))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $t)) (v128.const f32x4 -1.453152027 -1.453152027 -1.453152027 -1.453152027)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $t)) (v128.const f32x4 1.421413741 1.421413741 1.421413741 1.421413741)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $t)) (v128.const f32x4 -0.284496736 -0.284496736 -0.284496736 -0.284496736)))
    (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $t)) (v128.const f32x4 0.254829592 0.254829592 0.254829592 0.254829592)))
    (f32x4.sub (v128.const f32x4 1 1 1 1) (f32x4.mul (f32x4.mul (local.get $y) (local.get $t))
      (call $exp (f32x4.mul (f32x4.mul (local.get $x) (local.get $x)) (v128.const f32x4 -0.5 -0.5 -0.5 -0.5))))))

  ;; |x| erf(|x| / sqrt 2) is x erf(x / sqrt 2).
  (func (export "gelu") (param $x i32) (param $count i32) (local $end i32) (local $v v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (loop $four
      (local.set $v (v128.load (local.get $x)))
      (v128.store (local.get $x) (f32x4.mul (v128.const f32x4 0.5 0.5 0.5 0.5) (f32x4.add (local.get $v)
        (f32x4.mul (f32x4.abs (local.get $v)) (call $erf (local.get $v))))))
      (br_if $four (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end)))))

  (func (export "relu") (param $x i32) (param $count i32) (local $end i32)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (loop $four
      (v128.store (local.get $x) (f32x4.max (v128.load (local.get $x)) (v128.const f32x4 0 0 0 0)))
      (br_if $four (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end))))))
