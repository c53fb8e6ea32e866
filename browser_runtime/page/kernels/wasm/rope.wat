;; RoPE on the heads of one token, in place.
;;
;;   x[i], x[i + n] = x[i] cos[i] - x[i + n] sin[i],  x[i + n] cos[i] + x[i] sin[i]     for i < n
;;
;; x       float32 [heads][head_dim]; entries from 2 n on stay as they are
;; table   float32 [n] cosines, then [n] sines of this position
(module
  (import "e" "memory" (memory 1))
  (func (export "rope") (param $x i32) (param $heads i32) (param $head_dim i32) (param $table i32) (param $n i32)
    (local $i i32) (local $p i32) (local $a f32) (local $b f32) (local $c f32) (local $s f32) (local $span i32)
    (local.set $span (i32.shl (local.get $n) (i32.const 2)))
    (loop $head
      (local.set $i (i32.const 0))
      (loop $pair
        (local.set $p (i32.add (local.get $x) (local.get $i)))
        (local.set $a (f32.load (local.get $p)))
        (local.set $b (f32.load (i32.add (local.get $p) (local.get $span))))
        (local.set $c (f32.load (i32.add (local.get $table) (local.get $i))))
        (local.set $s (f32.load (i32.add (i32.add (local.get $table) (local.get $span)) (local.get $i))))
        (f32.store (local.get $p)
          (f32.sub (f32.mul (local.get $a) (local.get $c)) (f32.mul (local.get $b) (local.get $s))))
        (f32.store (i32.add (local.get $p) (local.get $span))
          (f32.add (f32.mul (local.get $b) (local.get $c)) (f32.mul (local.get $a) (local.get $s))))
        (br_if $pair (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $span))))
      (local.set $x (i32.add (local.get $x) (i32.shl (local.get $head_dim) (i32.const 2))))
      (br_if $head (local.tee $heads (i32.sub (local.get $heads) (i32.const 1)))))))
