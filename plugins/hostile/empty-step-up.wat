;; Asks for a step-up and does not say to what.
(module
  (import "ztlib:policy/outcome@0.1.0" "challenge-step-up" (func $challenge-step-up (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (call $challenge-step-up (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    i32.const 1))
