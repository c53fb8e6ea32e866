;; The exact part of the cache: scores of keys and sums of values that are fp16.
;;
;;   ring_scores   y[h, t] = sum_d q[h, d] k[t, d]
;;   ring_values   y[h, d] += sum_t p[h, t] v[t, d]
;;
;; k, v      fp16 [count][head_dim]: a run of places of the ring
;; q         float32 [heads][head_dim]; p float32 [heads][ldp bytes]
;; y         float32 [heads][ldy bytes]; ring_scores: from the run's first token on; ring_values: [heads][head_dim]
;; scratch   float32 [head_dim]
;;
;; head_dim is a multiple of 4.
(module
  (import "e" "memory" (memory 1))

  ;; Four fp16 in the low halves of i32 lanes, finite, as float32.
  (func $half (param $h v128) (result v128)
    (f32x4.mul
      (v128.or
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13))
        (i32x4.shl (v128.and (local.get $h) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16)))
      (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))

  ;; One row as float32 in scratch.
  (func $widen (param $row i32) (param $scratch i32) (param $head_dim i32)
    (loop $four
      (v128.store (local.get $scratch) (call $half (v128.load16x4_u (local.get $row))))
      (local.set $row (i32.add (local.get $row) (i32.const 8)))
      (local.set $scratch (i32.add (local.get $scratch) (i32.const 16)))
      (br_if $four (local.tee $head_dim (i32.sub (local.get $head_dim) (i32.const 4))))))

  (func (export "ring_scores") (param $k i32) (param $count i32) (param $q i32) (param $heads i32) (param $head_dim i32)
    (param $y i32) (param $ldy i32) (param $scratch i32)
    (local $h i32) (local $d i32) (local $qh i32) (local $yh i32) (local $a v128) (local $end i32)
    (local.set $end (i32.shl (local.get $head_dim) (i32.const 2)))
    (loop $token
      (call $widen (local.get $k) (local.get $scratch) (local.get $head_dim))
      (local.set $h (local.get $heads))
      (local.set $qh (local.get $q))
      (local.set $yh (local.get $y))
      (loop $head
        (local.set $a (v128.const f32x4 0 0 0 0))
        (local.set $d (i32.const 0))
        (loop $four
          (local.set $a (f32x4.add (local.get $a) (f32x4.mul (v128.load (i32.add (local.get $qh) (local.get $d)))
            (v128.load (i32.add (local.get $scratch) (local.get $d))))))
          (br_if $four (i32.lt_u (local.tee $d (i32.add (local.get $d) (i32.const 16))) (local.get $end))))
        (f32.store (local.get $yh) (f32.add (f32.add (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a))) (f32.add (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))
        (local.set $qh (i32.add (local.get $qh) (local.get $end)))
        (local.set $yh (i32.add (local.get $yh) (local.get $ldy)))
        (br_if $head (local.tee $h (i32.sub (local.get $h) (i32.const 1)))))
      (local.set $k (i32.add (local.get $k) (i32.shl (local.get $head_dim) (i32.const 1))))
      (local.set $y (i32.add (local.get $y) (i32.const 4)))
      (br_if $token (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  (func (export "ring_values") (param $v i32) (param $count i32) (param $p i32) (param $ldp i32) (param $heads i32)
    (param $head_dim i32) (param $y i32) (param $scratch i32)
    (local $h i32) (local $d i32) (local $ph i32) (local $yh i32) (local $w v128) (local $end i32)
    (local.set $end (i32.shl (local.get $head_dim) (i32.const 2)))
    (loop $token
      (call $widen (local.get $v) (local.get $scratch) (local.get $head_dim))
      (local.set $h (local.get $heads))
      (local.set $ph (local.get $p))
      (local.set $yh (local.get $y))
      (loop $head
        (local.set $w (v128.load32_splat (local.get $ph)))
        (local.set $d (i32.const 0))
        (loop $four
          (v128.store (i32.add (local.get $yh) (local.get $d)) (f32x4.add (v128.load (i32.add (local.get $yh) (local.get $d)))
            (f32x4.mul (local.get $w) (v128.load (i32.add (local.get $scratch) (local.get $d))))))
          (br_if $four (i32.lt_u (local.tee $d (i32.add (local.get $d) (i32.const 16))) (local.get $end))))
        (local.set $ph (i32.add (local.get $ph) (local.get $ldp)))
        (local.set $yh (i32.add (local.get $yh) (local.get $end)))
        (br_if $head (local.tee $h (i32.sub (local.get $h) (i32.const 1)))))
      (local.set $v (i32.add (local.get $v) (i32.shl (local.get $head_dim) (i32.const 1))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $token (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))
