;; world: forbidden-clock
;; Imports a clock of WASI besides the contract. To be refused when it is loaded, with the name of the import.
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
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
    (drop (call $now))
    i32.const 0))
