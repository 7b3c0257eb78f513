;; Seals its constants in its start function, which runs in every evaluation.
(module
  (import "ztlib:policy/constants@0.1.0" "seal" (func $seal))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  (func $start
    (call $seal))
  (start $start)
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    i32.const 0))
