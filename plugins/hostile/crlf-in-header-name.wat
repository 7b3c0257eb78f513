;; A header name that would end the header and begin another one.
(module
  (import "ztlib:policy/outcome@0.1.0" "set-response-header" (func $set-response-header (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-a: b\0d\0ax-admin")
  (data (i32.const 32) "1")
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (call $set-response-header (i32.const 16) (i32.const 15) (i32.const 32) (i32.const 1))
    i32.const 0))
