;; Asks for another scope each time, for ever: each is one more read for the trace.
(module
  (import "ztlib:policy/principal@0.1.0" "has-scope" (func $has-scope (param i32 i32) (result i32)))
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
    (local $number i32)
    (loop $again
      (local.set $number (i32.add (local.get $number) (i32.const 1)))
      ;; Four characters from `a` to `p`: the number's lowest four hexadecimal digits.
      (i32.store (i32.const 16)
        (i32.add
          (i32.const 0x61616161)
          (i32.or
            (i32.or
              (i32.and (local.get $number) (i32.const 0xf))
              (i32.shl (i32.and (local.get $number) (i32.const 0xf0)) (i32.const 4)))
            (i32.or
              (i32.shl (i32.and (local.get $number) (i32.const 0xf00)) (i32.const 8))
              (i32.shl (i32.and (local.get $number) (i32.const 0xf000)) (i32.const 12))))))
      (drop (call $has-scope (i32.const 16) (i32.const 4)))
      (br $again))
    i32.const 0))
