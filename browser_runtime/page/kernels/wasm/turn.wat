;; The keys of one head, turned for matpanel: k[t, d] goes to panel t // 8, row d, column t % 8.
;;
;; k        float32 [tokens][ldk / 4]
;; turned   float32 [tokens // 8, rounded up][dim][8]; what lies behind the last token is zero
;;
;; `dim` is a multiple of 4.
(module
  (import "e" "memory" (memory 1))
  (func (export "turn") (param $k i32) (param $ldk i32) (param $turned i32) (param $tokens i32) (param $dim i32)
    (local $t i32) (local $d i32) (local $to i32) (local $v v128) (local $size i32)
    (local.set $size (i32.shl (local.get $dim) (i32.const 5)))
    (memory.fill
      (i32.add (local.get $turned) (i32.mul (local.get $size) (i32.shr_u (i32.sub (local.get $tokens) (i32.const 1)) (i32.const 3))))
      (i32.const 0) (local.get $size))
    (loop $token
      (local.set $to (i32.add (local.get $turned) (i32.add
        (i32.mul (local.get $size) (i32.shr_u (local.get $t) (i32.const 3)))
        (i32.shl (i32.and (local.get $t) (i32.const 7)) (i32.const 2)))))
      (local.set $d (i32.const 0))
      (loop $four
        (local.set $v (v128.load (i32.add (local.get $k) (i32.shl (local.get $d) (i32.const 2)))))
        (v128.store32_lane offset=0 0 (local.get $to) (local.get $v))
        (v128.store32_lane offset=32 1 (local.get $to) (local.get $v))
        (v128.store32_lane offset=64 2 (local.get $to) (local.get $v))
        (v128.store32_lane offset=96 3 (local.get $to) (local.get $v))
        (local.set $to (i32.add (local.get $to) (i32.const 128)))
        (br_if $four (i32.lt_u (local.tee $d (i32.add (local.get $d) (i32.const 4))) (local.get $dim))))
      (local.set $k (i32.add (local.get $k) (local.get $ldk)))
      (br_if $token (i32.lt_u (local.tee $t (i32.add (local.get $t) (i32.const 1))) (local.get $tokens))))))
