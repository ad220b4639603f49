// What generated bindings want of a C library. There is none here: memory.c keeps the memory, and forgets all of it.
#pragma once
#include <stddef.h>

static inline void free(void *ptr) { (void)ptr; }
_Noreturn static inline void abort(void) { __builtin_trap(); }
void *realloc(void *ptr, size_t size);
