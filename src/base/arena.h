/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arena: memory that lives until the whole arena is released. Not thread-safe.
 *
 * Under AddressSanitizer the unused part of each block is poisoned, so overruns are seen.
 */
#ifndef PTF_ARENA_H
#define PTF_ARENA_H

#include <stddef.h>

struct ptf_arena_block;
struct ptf_arena_spare;

struct ptf_arena {
	struct ptf_arena_block *blocks; /* owned, newest first; NULL while empty */
	size_t used;                    /* bytes used of the newest block */
	size_t total;                   /* bytes of all blocks */
	struct ptf_arena_spare *spare;  /* what was given back; NULL: nothing ever */
};

/* A zeroed struct is an empty arena; init is the same. */
void ptf_arena_init(struct ptf_arena *arena);
void ptf_arena_release(struct ptf_arena *arena);

/* size zeroed bytes, aligned to 16, owned by the arena. NULL only when out of memory. */
void *ptf_arena_alloc(struct ptf_arena *arena, size_t size);

/* Gives memory of ptf_arena_alloc(arena, size) back: a later alloc of about that size may use it.
 * For things that come and go in an arena that stays; larger ones than 512 bytes, or when out of
 * memory, are only kept until the release. */
void ptf_arena_recycle(struct ptf_arena *arena, void *memory, size_t size);

/* A terminated copy of text[0..len). NULL only when out of memory. */
char *ptf_arena_strndup(struct ptf_arena *arena, const char *text, size_t len);
char *ptf_arena_strdup(struct ptf_arena *arena, const char *text);

#endif
