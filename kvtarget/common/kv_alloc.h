/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is there, or the process is not: a node that cannot allocate cannot keep a promise
 * either, so it stops as in a crash, which the log survives. Sizes that come from outside are
 * bounded before they get here.
 */
#ifndef KV_ALLOC_H
#define KV_ALLOC_H

#include <stddef.h>

#include "base/vec.h"

/* Zeroed memory, freed with free(). */
void *kv_alloc(size_t size);

/* As realloc. */
void *kv_realloc(void *old, size_t size);

/* Prints "out of memory" to stderr and aborts. */
_Noreturn void kv_out_of_memory(void);

/* ptf_vec_push and ptf_vec_reserve that cannot fail. */
#define kv_vec_push(vec, ...) (ptf_vec_push(vec, __VA_ARGS__) ? (void)0 : kv_out_of_memory())
#define kv_vec_reserve(vec, more) (ptf_vec_reserve(vec, more) ? (void)0 : kv_out_of_memory())

#endif
