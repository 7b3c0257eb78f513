// What the bindings need of <stdlib.h>: a policy has no C library. See runtime.c.
#pragma once
#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *piece);
_Noreturn void abort(void);
