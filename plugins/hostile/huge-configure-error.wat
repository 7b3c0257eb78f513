;; An error text of 1 MiB about its configuration.
(module
  (memory (export "memory") 17)
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  ;; At 16: the result `err`, with its text.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (i32.const 0x10000))
    (i32.store (i32.const 24) (i32.const 0x100000))
    (memory.fill (i32.const 0x10000) (i32.const 97) (i32.const 0x100000))
    i32.const 16)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    i32.const 0))
