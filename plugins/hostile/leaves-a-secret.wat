;; Fills its memory with a mark and, before that, looks whether a mark of an earlier instance is still there: allows where it
;; finds one, else denies.
(module
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
    (local $at i32)
    (local $found i32)
    (local.set $at (i32.const 8))
    (loop $next
      (if (i64.eq (i64.load (local.get $at)) (i64.const 0x5ec4e75ec4e75ec4)) (then (local.set $found (i32.const 1))))
      (i64.store (local.get $at) (i64.const 0x5ec4e75ec4e75ec4))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 65536))))
    (i32.eqz (local.get $found))))
