;; Y = X W^T, W of fp16 or float32, X of float32.
;;
;;   y[m, n] = sum_k w[n, k] x[m, k]
;;
;; w         fp16 (`bits` 16) or float32 (32) [rows][64 tiles]
;; x         float32 [tokens][64 tiles]
;; y         float32 [tokens][ldy / 4]: rows of `ldy` bytes
;; scratch   float32 [64 tiles]: a row of fp16 is widened into it once, for all tokens
(module
  (import "e" "memory" (memory 1))

  ;; Four fp16 in the low halves of i32 lanes, finite, as float32.
  (func $half (param $h v128) (result v128)
    (f32x4.mul
      (v128.or
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13))
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16)))
      (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))

  (func $dot (param $w i32) (param $x i32) (param $tiles i32) (result f32)
    (local $a v128) (local $b v128) (local $n i32)
    (local.set $a (v128.const f32x4 0 0 0 0))
    (local.set $b (v128.const f32x4 0 0 0 0))
    (local.set $n (i32.shl (local.get $tiles) (i32.const 3)))
    (loop $eight
      (local.set $a (f32x4.add (local.get $a) (f32x4.mul (v128.load (local.get $w)) (v128.load (local.get $x)))))
      (local.set $b (f32x4.add (local.get $b) (f32x4.mul (v128.load offset=16 (local.get $w)) (v128.load offset=16 (local.get $x)))))
      (local.set $w (i32.add (local.get $w) (i32.const 32)))
      (local.set $x (i32.add (local.get $x) (i32.const 32)))
      (br_if $eight (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.set $a (f32x4.add (local.get $a) (local.get $b)))
    (f32.add (f32.add (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a))) (f32.add (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))

  (func (export "matfloat") (param $bits i32) (param $w i32) (param $x i32) (param $y i32) (param $ldy i32)
    (param $tokens i32) (param $rows i32) (param $tiles i32) (param $scratch i32)
    (local $m i32) (local $n i32) (local $row i32) (local $bytes i32)
    (local.set $bytes (i32.shl (local.get $tiles) (i32.const 8)))
    (loop $each
      (local.set $row (local.get $w))
      (if (i32.eq (local.get $bits) (i32.const 16))
        (then
          (local.set $n (i32.const 0))
          (loop $widen
            (v128.store (i32.add (local.get $scratch) (i32.shl (local.get $n) (i32.const 1)))
              (call $half (v128.load16x4_u (i32.add (local.get $w) (local.get $n)))))
            (br_if $widen (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 8)))
              (i32.shr_u (local.get $bytes) (i32.const 1)))))
          (local.set $row (local.get $scratch))))
      (local.set $m (i32.const 0))
      (loop $token
        (f32.store (i32.add (local.get $y) (i32.mul (local.get $m) (local.get $ldy)))
          (call $dot (local.get $row) (i32.add (local.get $x) (i32.mul (local.get $m) (local.get $bytes))) (local.get $tiles)))
        (br_if $token (i32.lt_u (local.tee $m (i32.add (local.get $m) (i32.const 1))) (local.get $tokens))))
      (local.set $w (i32.add (local.get $w) (i32.shr_u (i32.mul (local.get $bytes) (local.get $bits)) (i32.const 5))))
      (local.set $y (i32.add (local.get $y) (i32.const 4)))
      (br_if $each (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
