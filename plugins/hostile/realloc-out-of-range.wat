;; Tells the host to write an answer outside of its memory.
(module
  (import "ztlib:policy/request@0.1.0" "method" (func $method (param i32)))
  (memory (export "memory") 1)
  (global $deciding (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (select (i32.const 0xffff0000) (i32.const 8192) (global.get $deciding)))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (global.set $deciding (i32.const 1))
    (call $method (i32.const 16))
    i32.const 0))
