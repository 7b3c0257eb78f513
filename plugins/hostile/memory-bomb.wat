;; Grows its memory for ever and writes to all of it, whatever the answer.
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
    (local $page i32)
    (loop $again
      (local.set $page (memory.grow (i32.const 16)))
      (if (i32.ne (local.get $page) (i32.const -1))
        (then (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1) (i32.const 1048576))))
      (br $again))
    i32.const 0))
