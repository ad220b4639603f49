// What generated bindings want of a C library; unused parts are left out when linking.
#pragma once
#include <stddef.h>

size_t strlen(const char *text);
void *memcpy(void *to, const void *from, size_t size);
