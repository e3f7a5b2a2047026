/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash map from uint64_t keys to uint64_t values (counts, indexes, pointers): open addressing,
 * linear probing, at most half full. Not thread-safe.
 */
#ifndef PTF_HASH_MAP_H
#define PTF_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ptf_hash_slot {
	uint64_t key;
	uint64_t value;
	bool used;
};

struct ptf_hash_map {
	struct ptf_hash_slot *slots; /* owned, NULL while empty */
	size_t n;                    /* keys */
	size_t cap;                  /* slots, 0 or a power of two */
};

/* A zeroed struct is an empty map. */
void ptf_hash_map_release(struct ptf_hash_map *map);

/* The value of key, or NULL; valid until the next ptf_hash_map_at. */
uint64_t *ptf_hash_map_find(const struct ptf_hash_map *map, uint64_t key);

/* The value of key, made (0) when absent; *made (may be NULL) tells. NULL when out of memory. */
uint64_t *ptf_hash_map_at(struct ptf_hash_map *map, uint64_t key, bool *made);

/* A 64-bit mix of all bits of x (the finaliser of splitmix64). */
static inline uint64_t ptf_hash_u64(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Hash of a byte string (FNV-1a, then mixed). */
uint64_t ptf_hash_bytes(const void *bytes, size_t size);

#endif
