;; Counts its calls in a global, in memory and in its table: denies the first, allows every later one. Where each evaluation
;; has a fresh instance it denies always.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  (global $called (mut i32) (i32.const 0))
  (table $table 1 funcref)
  (elem declare func $some)
  (func $some)
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    (local $later i32)
    (local.set $later
      (i32.or
        (i32.or (global.get $called) (i32.load (i32.const 32)))
        (i32.eqz (ref.is_null (table.get $table (i32.const 0))))))
    (global.set $called (i32.const 1))
    (i32.store (i32.const 32) (i32.const 1))
    (table.set $table (i32.const 0) (ref.func $some))
    (i32.eqz (local.get $later))))
