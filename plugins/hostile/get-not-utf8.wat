;; Looks for a constant under a key that is not UTF-8, and allows where there is none.
(module
  (import "ztlib:policy/constants@0.1.0" "seal" (func $seal))
  (import "ztlib:policy/constants@0.1.0" "get" (func $get (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\ff\fe")
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param $config i32) (param $bytes i32) (result i32)
    (call $seal)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (call $get (i32.const 16) (i32.const 2) (i32.const 32))
    (i32.load8_u (i32.const 32))))
