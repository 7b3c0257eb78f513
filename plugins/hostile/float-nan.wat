;; Makes a NaN whose bits the processor is free to choose, and allows where they are the canonical ones. Where results are
;; made canonical it always allows.
(module
  (memory (export "memory") 1)
  (data (i32.const 16) "\01\00\a0\7f\00\00\80\3f")
  (global $next (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    global.get $next
    (global.set $next
      (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  ;; The twelve zero bytes at 0 are the result `ok`.
  (func (export "ztlib:policy/guard@0.1.0#configure") (param i32 i32) (result i32)
    i32.const 0)
  (func (export "ztlib:policy/guard@0.1.0#decide") (result i32)
    ;; `nan:0x200001` plus one: processors hand the payload on.
    (i32.ne
      (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (i32.load (i32.const 16))) (f32.load (i32.const 20))))
      (i32.const 0x7fc00000))))
