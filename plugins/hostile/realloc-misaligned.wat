;; Tells the host to write a list to an odd address.
(module
  (import "ztlib:policy/request@0.1.0" "header-values" (func $header-values (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "accept")
  (global $deciding (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.add (i32.const 8192) (global.get $deciding)))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (global.set $deciding (i32.const 1))
    (call $header-values (i32.const 32) (i32.const 6) (i32.const 16))
    i32.const 0))
