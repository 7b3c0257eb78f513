;; Leaves a mark in a global and in memory while it is configured, and seals. Allows where it finds one while it
;; decides, else leaves one and denies.
(module
  (import "ztlib:policy/constants@0.1.0" "seal" (func $seal))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  (global $mark (mut i32) (i32.const 0))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param $config i32) (param $bytes i32) (result i32)
    (global.set $mark (i32.const 1))
    (i32.store (i32.const 32) (i32.const 1))
    (call $seal)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (local $found i32)
    (local.set $found (i32.or (global.get $mark) (i32.load (i32.const 32))))
    (global.set $mark (i32.const 1))
    (i32.store (i32.const 32) (i32.const 1))
    (i32.eqz (local.get $found))))
