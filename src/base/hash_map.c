/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "base/hash_map.h"

void ptf_hash_map_release(struct ptf_hash_map *map)
{
	free(map->slots);
	*map = (struct ptf_hash_map){0};
}

/* The slot that holds key, or the free one where it would go. The map is never full. */
static struct ptf_hash_slot *slot_of(const struct ptf_hash_map *map, uint64_t key)
{
	size_t i = ptf_hash_u64(key) & (map->cap - 1);

	while (map->slots[i].used && map->slots[i].key != key)
		i = (i + 1) & (map->cap - 1);
	return &map->slots[i];
}

uint64_t *ptf_hash_map_find(const struct ptf_hash_map *map, uint64_t key)
{
	struct ptf_hash_slot *slot;

	if (!map->cap)
		return NULL;
	slot = slot_of(map, key);
	return slot->used ? &slot->value : NULL;
}

static bool map_grow(struct ptf_hash_map *map)
{
	struct ptf_hash_map grown = {.cap = map->cap ? map->cap * 2 : 64, .n = map->n};

	grown.slots = calloc(grown.cap, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < map->cap; i++) {
		if (map->slots[i].used)
			*slot_of(&grown, map->slots[i].key) = map->slots[i];
	}
	free(map->slots);
	*map = grown;
	return true;
}

uint64_t *ptf_hash_map_at(struct ptf_hash_map *map, uint64_t key, bool *made)
{
	struct ptf_hash_slot *slot;

	if (map->n * 2 >= map->cap && !map_grow(map))
		return NULL;
	slot = slot_of(map, key);
	if (made)
		*made = !slot->used;
	if (!slot->used) {
		*slot = (struct ptf_hash_slot){.key = key, .used = true};
		map->n++;
	}
	return &slot->value;
}

uint64_t ptf_hash_bytes(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ull;
	return ptf_hash_u64(hash);
}
