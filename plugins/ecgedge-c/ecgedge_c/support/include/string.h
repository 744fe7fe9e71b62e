/* All that the exported C asks of a C library. */
#ifndef ECGEDGE_STRING_H
#define ECGEDGE_STRING_H
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
#endif
