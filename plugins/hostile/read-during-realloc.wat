;; Makes a read where the host, in the middle of another one, asks it for memory.
(module
  (import "ztlib:policy/request@0.1.0" "method" (func $method (param i32)))
  (import "ztlib:policy/principal@0.1.0" "has-token" (func $has-token (result i32)))
  (memory (export "memory") 1)
  (global $deciding (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (if (global.get $deciding) (then (drop (call $has-token))))
    i32.const 8192)
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (global.set $deciding (i32.const 1))
    (call $method (i32.const 16))
    i32.const 0))
