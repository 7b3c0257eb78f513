;; `cabi_realloc` over the SDK's arena; the state of an arena is two addresses, where free room begins and where it ends.
(func (export "$NAME") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $start i64) (local $end i64) (local $before i32) (local $pages i32)
    (block $taken
        (loop $again
            ;; $start = the next multiple of $align, $end = $start + $size: in 64 bits, so that nothing wraps.
            (local.set $start
                (i64.and
                    (i64.add
                        (i64.load32_u (i32.const $ARENA))
                        (i64.extend_i32_u (i32.sub (local.get $align) (i32.const 1))))
                    (i64.extend_i32_s (i32.sub (i32.const 0) (local.get $align)))))
            (local.set $end (i64.add (local.get $start) (i64.extend_i32_u (local.get $size))))
            (br_if $taken (i64.le_u (local.get $end) (i64.load32_u offset=4 (i32.const $ARENA))))

            ;; One page more than $size fills, so that it fits wherever the new pages begin.
            (local.set $pages (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 2)))
            (local.set $before (memory.grow (local.get $pages)))
            (if (i32.eq (local.get $before) (i32.const -1)) (then (unreachable)))
            (local.set $end (i64.shl (i64.extend_i32_u (local.get $before)) (i64.const 16)))
            ;; Room that does not lie right behind what was free is begun afresh.
            (if (i64.ne (local.get $end) (i64.load32_u offset=4 (i32.const $ARENA)))
                (then (i64.store32 (i32.const $ARENA) (local.get $end))))
            ;; The very last byte of the address space stays unused, so that the end is a number.
            (local.set $end
                (i64.add (local.get $end) (i64.shl (i64.extend_i32_u (local.get $pages)) (i64.const 16))))
            (if (i64.gt_u (local.get $end) (i64.const 0xffff_ffff))
                (then (local.set $end (i64.const 0xffff_ffff))))
            (i64.store32 offset=4 (i32.const $ARENA) (local.get $end))
            (br $again)))
    (i64.store32 (i32.const $ARENA) (local.get $end))
    ;; What was there is kept, as the canonical ABI asks.
    (if (local.get $old_size)
        (then
            (memory.copy
                (i32.wrap_i64 (local.get $start))
                (local.get $old)
                (select
                    (local.get $old_size)
                    (local.get $size)
                    (i32.lt_u (local.get $old_size) (local.get $size))))))
    (i32.wrap_i64 (local.get $start)))
