// What stands in for a C library: memory that is handed out from its beginning to its end, and nothing else.
//
// An instance answers one question and is thrown away, so nothing is ever given back. The memory is there from the start, in
// the one page that also holds the stack; where it is used up the policy ends in a trap.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (16 * 1024)

static _Alignas(16) uint8_t room[ROOM];

// Where free room begins and where it ends. Under this name `componentize` finds it and lets the host take from it
// directly, which spares an instance (plugins/README.md, "Build").
struct arena {
    uint8_t *next, *end;
};
struct arena arena __asm__("ztlib-arena") = {room, room + ROOM};

static void *take(size_t align, size_t size) {
    uintptr_t start = ((uintptr_t)arena.next + (align - 1)) & ~(uintptr_t)(align - 1);
    if (start > (uintptr_t)arena.end || size > (uintptr_t)arena.end - start) abort();
    arena.next = (uint8_t *)(start + size);
    return (void *)start;
}

void *malloc(size_t size) {
    return take(16, size);
}

void free(void *piece) {
    (void)piece;
}

_Noreturn void abort(void) {
    __builtin_trap();
}

// Where the host puts the configuration, and the texts and lists that it returns. It takes the place of the one in the bindings.
__attribute__((__export_name__("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    void *new = take(align, size);
    return old_size ? memcpy(new, old, old_size < size ? old_size : size) : new;
}

// One instruction: the compiler is told that there is bulk memory.
void *memcpy(void *to, const void *from, size_t size) {
    return __builtin_memcpy(to, from, size);
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}
