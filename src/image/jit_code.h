/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that a process made at run time: what was at an address at a time.
 *
 * Pieces are added in order of time; a new one ends all older ones that it lies over, even in part.
 * Once frozen it is constant and thread-safe.
 */
#ifndef PTF_JIT_CODE_H
#define PTF_JIT_CODE_H

#include "image/code_images.h"

struct ptf_jit_code;

struct ptf_jit_code *ptf_jit_code_create(void); /* NULL: out of memory */
void ptf_jit_code_destroy(struct ptf_jit_code *code);

/* A new piece (start < end). Times that go back are taken for the latest before. false when out of
 * memory. */
bool ptf_jit_code_add(struct ptf_jit_code *code, const struct ptf_code_map *map, uint64_t time_ns);

/* Everything is gone (exec). false when out of memory. */
bool ptf_jit_code_clear(struct ptf_jit_code *code, uint64_t time_ns);

/* No more pieces follow; false when out of memory. */
bool ptf_jit_code_freeze(struct ptf_jit_code *code);

/* The piece that covers ip at a time (a piece is there from its own time on), or NULL. */
const struct ptf_code_map *ptf_jit_code_find(
        const struct ptf_jit_code *code, uint64_t ip, uint64_t time_ns);

/* The times at which a piece ended, sorted, each once. */
const uint64_t *ptf_jit_code_changes(const struct ptf_jit_code *code, size_t *n);

/* Pieces added, and how many of them ended. */
size_t ptf_jit_code_count(const struct ptf_jit_code *code);
size_t ptf_jit_code_ended(const struct ptf_jit_code *code);

#endif
