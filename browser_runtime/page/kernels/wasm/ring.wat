;; The exact part of the cache: scores of keys and sums of values that are fp16.
;;
;;   ring_scores   y[r, h, t] = sum_d q[r, h, d] k[t, d]
;;   ring_values   y[r, h, d] += sum_t p[r, h, t] v[t, d]
;;
;; k, v      fp16 [count][head_dim]: a run of places of the ring
;; q, y      float32, `rows` tokens of [heads][head_dim], `ldq` and `ldy` bytes from token to token
;; scores    float32 [rows][heads][lds bytes], from the run's first token on: y of ring_scores, p of ring_values
;; scratch   float32 [4][head_dim]
;;
;; head_dim is a multiple of 4. Tokens are taken four a time, so `count` is rounded up: the places behind it are read, and
;; their scores written; p is 0 there. Each number is summed in the order of its tokens and channels, so that it does not
;; depend on which others are computed with it.
(module
  (import "e" "memory" (memory 1))

  ;; `count` fp16, finite, as float32 in scratch.
  (func $widen (param $row i32) (param $scratch i32) (param $count i32)
    (loop $four
      (v128.store (local.get $scratch) (f32x4.mul
        (v128.and (i32x4.shl (v128.load16x4_s (local.get $row)) (i32.const 13))
          (v128.const i32x4 0x8fffe000 0x8fffe000 0x8fffe000 0x8fffe000))
        (v128.const f32x4 0x1p112 0x1p112 0x1p112 0x1p112)))
      (local.set $row (i32.add (local.get $row) (i32.const 8)))
      (local.set $scratch (i32.add (local.get $scratch) (i32.const 16)))
      (br_if $four (local.tee $count (i32.sub (local.get $count) (i32.const 4))))))

  (func (export "ring_scores") (param $k i32) (param $count i32) (param $q i32) (param $ldq i32) (param $rows i32)
    (param $heads i32) (param $head_dim i32) (param $scores i32) (param $lds i32) (param $scratch i32)
    (local $r i32) (local $h i32) (local $qr i32) (local $qh i32) (local $y i32) (local $end i32)
    (local $k0 i32) (local $k1 i32) (local $k2 i32) (local $k3 i32)
    (local $x v128) (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128) (local $b0 v128) (local $b1 v128)
    (loop $tokens
      (call $widen (local.get $k) (local.get $scratch) (i32.shl (local.get $head_dim) (i32.const 2)))
      (local.set $r (local.get $rows))
      (local.set $qr (local.get $q))
      (local.set $y (local.get $scores))
      (loop $row
        (local.set $h (local.get $heads))
        (local.set $qh (local.get $qr))
        (loop $head
          (local.set $end (i32.add (local.get $qh) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $k0 (local.get $scratch))
          (local.set $k1 (i32.add (local.get $k0) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $k2 (i32.add (local.get $k1) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $k3 (i32.add (local.get $k2) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $a0 (v128.const f32x4 0 0 0 0))
          (local.set $a1 (v128.const f32x4 0 0 0 0))
          (local.set $a2 (v128.const f32x4 0 0 0 0))
          (local.set $a3 (v128.const f32x4 0 0 0 0))
          (loop $four
            (local.set $x (v128.load (local.get $qh)))
            (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $x) (v128.load (local.get $k0)))))
            (local.set $k0 (i32.add (local.get $k0) (i32.const 16)))
            (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $x) (v128.load (local.get $k1)))))
            (local.set $k1 (i32.add (local.get $k1) (i32.const 16)))
            (local.set $a2 (f32x4.add (local.get $a2) (f32x4.mul (local.get $x) (v128.load (local.get $k2)))))
            (local.set $k2 (i32.add (local.get $k2) (i32.const 16)))
            (local.set $a3 (f32x4.add (local.get $a3) (f32x4.mul (local.get $x) (v128.load (local.get $k3)))))
            (local.set $k3 (i32.add (local.get $k3) (i32.const 16)))
            (br_if $four (i32.lt_u (local.tee $qh (i32.add (local.get $qh) (i32.const 16))) (local.get $end))))
          ;; Lane i of the sums becomes token i.
          (local.set $b0 (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a0) (local.get $a1)))
          (local.set $b1 (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a2) (local.get $a3)))
          (local.set $a0 (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a0) (local.get $a1)))
          (local.set $a2 (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a2) (local.get $a3)))
          (v128.store (local.get $y) (f32x4.add
            (f32x4.add
              (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $b0) (local.get $b1))
              (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $b0) (local.get $b1)))
            (f32x4.add
              (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a0) (local.get $a2))
              (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a0) (local.get $a2)))))
          (local.set $y (i32.add (local.get $y) (local.get $lds)))
          (br_if $head (local.tee $h (i32.sub (local.get $h) (i32.const 1)))))
        (local.set $qr (i32.add (local.get $qr) (local.get $ldq)))
        (br_if $row (local.tee $r (i32.sub (local.get $r) (i32.const 1)))))
      (local.set $k (i32.add (local.get $k) (i32.shl (local.get $head_dim) (i32.const 3))))
      (local.set $scores (i32.add (local.get $scores) (i32.const 16)))
      (br_if $tokens (i32.gt_s (local.tee $count (i32.sub (local.get $count) (i32.const 4))) (i32.const 0)))))

  (func (export "ring_values") (param $v i32) (param $count i32) (param $scores i32) (param $lds i32) (param $y i32)
    (param $ldy i32) (param $rows i32) (param $heads i32) (param $head_dim i32) (param $scratch i32)
    (local $r i32) (local $h i32) (local $p i32) (local $yr i32) (local $yh i32) (local $end i32)
    (local $v0 i32) (local $v1 i32) (local $v2 i32) (local $v3 i32)
    (local $x v128) (local $w0 v128) (local $w1 v128) (local $w2 v128) (local $w3 v128)
    (loop $tokens
      (call $widen (local.get $v) (local.get $scratch) (i32.shl (local.get $head_dim) (i32.const 2)))
      (local.set $r (local.get $rows))
      (local.set $p (local.get $scores))
      (local.set $yr (local.get $y))
      (loop $row
        (local.set $h (local.get $heads))
        (local.set $yh (local.get $yr))
        (loop $head
          (local.set $end (i32.add (local.get $yh) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $v0 (local.get $scratch))
          (local.set $v1 (i32.add (local.get $v0) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $v2 (i32.add (local.get $v1) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $v3 (i32.add (local.get $v2) (i32.shl (local.get $head_dim) (i32.const 2))))
          (local.set $w0 (v128.load32_splat offset=0 (local.get $p)))
          (local.set $w1 (v128.load32_splat offset=4 (local.get $p)))
          (local.set $w2 (v128.load32_splat offset=8 (local.get $p)))
          (local.set $w3 (v128.load32_splat offset=12 (local.get $p)))
          (loop $four
            (local.set $x (v128.load (local.get $yh)))
            (local.set $x (f32x4.add (local.get $x) (f32x4.mul (local.get $w0) (v128.load (local.get $v0)))))
            (local.set $v0 (i32.add (local.get $v0) (i32.const 16)))
            (local.set $x (f32x4.add (local.get $x) (f32x4.mul (local.get $w1) (v128.load (local.get $v1)))))
            (local.set $v1 (i32.add (local.get $v1) (i32.const 16)))
            (local.set $x (f32x4.add (local.get $x) (f32x4.mul (local.get $w2) (v128.load (local.get $v2)))))
            (local.set $v2 (i32.add (local.get $v2) (i32.const 16)))
            (local.set $x (f32x4.add (local.get $x) (f32x4.mul (local.get $w3) (v128.load (local.get $v3)))))
            (local.set $v3 (i32.add (local.get $v3) (i32.const 16)))
            (v128.store (local.get $yh) (local.get $x))
            (br_if $four (i32.lt_u (local.tee $yh (i32.add (local.get $yh) (i32.const 16))) (local.get $end))))
          (local.set $p (i32.add (local.get $p) (local.get $lds)))
          (br_if $head (local.tee $h (i32.sub (local.get $h) (i32.const 1)))))
        (local.set $yr (i32.add (local.get $yr) (local.get $ldy)))
        (br_if $row (local.tee $r (i32.sub (local.get $r) (i32.const 1)))))
      (local.set $v (i32.add (local.get $v) (i32.shl (local.get $head_dim) (i32.const 3))))
      (local.set $scores (i32.add (local.get $scores) (i32.const 16)))
      (br_if $tokens (i32.gt_s (local.tee $count (i32.sub (local.get $count) (i32.const 4))) (i32.const 0)))))

  (func (export "clear") (param $to i32) (param $bytes i32)
    (memory.fill (local.get $to) (i32.const 0) (local.get $bytes))))
