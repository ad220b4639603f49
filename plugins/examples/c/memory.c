// The memory of a guest without a C library: the next free byte moves up during a call, and back after it.

#include "memory.h"
#include <stddef.h>
#include <stdint.h>

#define PAGE 65536

extern uint8_t __heap_base;
static uintptr_t next = (uintptr_t)&__heap_base;

void forget_all(void) { next = (uintptr_t)&__heap_base; }

// The server asks here for the memory of what it passes in. The bindings have one of their own, which gives way to it.
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  uintptr_t start = (next + align - 1) & -align;
  if (start + size < start) __builtin_trap();
  uintptr_t end = start + size, have = __builtin_wasm_memory_size(0) * PAGE;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == (size_t)-1) __builtin_trap();
  for (size_t at = 0; at < old_size && at < size; at++) ((uint8_t *)start)[at] = ((uint8_t *)old)[at];
  next = end;
  return (void *)start;
}
