/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing array. Declare with PTF_VEC(type): a struct {type *v; size_t n; size_t cap;} that is
 * empty when zeroed. Elements move when it grows: keep indexes, not pointers.
 */
#ifndef PTF_VEC_H
#define PTF_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define PTF_VEC(type)                                                                              \
	struct {                                                                                   \
		type *v;    /* owned */                                                            \
		size_t n;   /* elements in use */                                                  \
		size_t cap; /* elements allocated */                                               \
	}

/* The same as a named struct, for arrays that are passed around. */
#define PTF_VEC_TYPEDEF(name, type)                                                                \
	struct name {                                                                              \
		type *v;    /* owned */                                                            \
		size_t n;   /* elements in use */                                                  \
		size_t cap; /* elements allocated */                                               \
	}

/* Makes room for `more` elements; false when out of memory (the array stays valid). */
#define ptf_vec_reserve(vec, more)                                                                 \
	((vec)->n + (more) <= (vec)->cap || ptf_vec_grow((void **)&(vec)->v, &(vec)->cap,          \
	                                            (vec)->n + (more), sizeof(*(vec)->v)))

/* Appends a value; false when out of memory. */
#define ptf_vec_push(vec, ...)                                                                     \
	(ptf_vec_reserve(vec, 1) && ((vec)->v[(vec)->n++] = (__VA_ARGS__), true))

#define ptf_vec_release(vec) (free((vec)->v), (vec)->v = NULL, (vec)->n = (vec)->cap = 0)

#define ptf_vec_foreach(item, vec)                                                                 \
	for (__typeof__((vec)->v + 0) item = (vec)->v; item < (vec)->v + (vec)->n; item++)

/* Grows *array to at least `need` elements of `size` bytes, doubling. Used by the macros. */
bool ptf_vec_grow(void **array, size_t *cap, size_t need, size_t size);

#endif
