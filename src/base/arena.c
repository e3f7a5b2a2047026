/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
enum { REDZONE = 16 };
#else
#define POISON(at, size) ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
enum { REDZONE = 0 };
#endif

enum { ALIGNMENT = 16, BLOCK_SIZE = 64 << 10, MAX_SPARE = 512 };

struct spare_item {
	struct spare_item *next;
};

/* Lists of what was given back, by size in units of ALIGNMENT. */
struct ptf_arena_spare {
	struct spare_item *of_size[MAX_SPARE / ALIGNMENT + 1];
};

struct ptf_arena_block {
	struct ptf_arena_block *next;
	size_t size; /* bytes of `data` */
	_Alignas(ALIGNMENT) uint8_t data[];
};

void ptf_arena_init(struct ptf_arena *arena)
{
	*arena = (struct ptf_arena){0};
}

void ptf_arena_release(struct ptf_arena *arena)
{
	while (arena->blocks) {
		struct ptf_arena_block *next = arena->blocks->next;

		UNPOISON(arena->blocks->data, arena->blocks->size);
		free(arena->blocks);
		arena->blocks = next;
	}
	*arena = (struct ptf_arena){0};
}

static int arena_grow(struct ptf_arena *arena, size_t need)
{
	size_t size = need > BLOCK_SIZE ? need : BLOCK_SIZE;
	/* calloc: fresh pages come zeroed from the kernel, so large arenas cost no memset. */
	struct ptf_arena_block *block = calloc(1, sizeof(*block) + size);

	if (!block)
		return -1;
	block->next = arena->blocks;
	block->size = size;
	arena->blocks = block;
	arena->used = 0;
	arena->total += size;
	POISON(block->data, size);
	return 0;
}

static size_t rounded(size_t size)
{
	return (size + REDZONE + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

void ptf_arena_recycle(struct ptf_arena *arena, void *memory, size_t size)
{
	size_t need = rounded(size);
	struct spare_item *item = memory;

	if (!memory || need > MAX_SPARE || !need)
		return;
	if (!arena->spare) {
		arena->spare = ptf_arena_alloc(arena, sizeof(*arena->spare));
		if (!arena->spare)
			return;
	}
	UNPOISON(item, sizeof(*item));
	item->next = arena->spare->of_size[need / ALIGNMENT];
	arena->spare->of_size[need / ALIGNMENT] = item;
	POISON(memory, need);
}

static void *take_spare(struct ptf_arena *arena, size_t need, size_t size)
{
	struct spare_item **list, *item;

	if (!arena->spare || need > MAX_SPARE)
		return NULL;
	list = &arena->spare->of_size[need / ALIGNMENT];
	item = *list;
	if (!item)
		return NULL;
	UNPOISON(item, sizeof(*item));
	*list = item->next;
	POISON(item, sizeof(*item));
	UNPOISON(item, size);
	memset(item, 0, size);
	return item;
}

void *ptf_arena_alloc(struct ptf_arena *arena, size_t size)
{
	size_t need = rounded(size);
	void *at;

	if (need < size)
		return NULL;
	at = take_spare(arena, need, size);
	if (at)
		return at;
	if (!arena->blocks || need > arena->blocks->size - arena->used) {
		if (arena_grow(arena, need) < 0)
			return NULL;
	}
	at = arena->blocks->data + arena->used;
	arena->used += need;
	UNPOISON(at, size);
	return at;
}

char *ptf_arena_strndup(struct ptf_arena *arena, const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? ptf_arena_alloc(arena, len + 1) : NULL;

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *ptf_arena_strdup(struct ptf_arena *arena, const char *text)
{
	return ptf_arena_strndup(arena, text, strlen(text));
}
