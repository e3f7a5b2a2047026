/* SPDX-License-Identifier: BSD-2-Clause */
/* A growing array of bytes, and little-endian integers in it. A zeroed struct is empty. */
#ifndef KV_BUFFER_H
#define KV_BUFFER_H

#include <stdint.h>
#include <string.h>

#include "common/kv_alloc.h"

PTF_VEC_TYPEDEF(kv_buffer, uint8_t);

/* A string of bytes that somebody else owns. */
struct kv_slice {
	const uint8_t *bytes;
	uint32_t size; /* bytes */
};

/* Makes room for n bytes at the end and counts them in; the caller fills them. */
static inline uint8_t *kv_buffer_extend(struct kv_buffer *buffer, size_t n)
{
	uint8_t *at;

	kv_vec_reserve(buffer, n);
	at = buffer->v + buffer->n;
	buffer->n += n;
	return at;
}

static inline void kv_buffer_add(struct kv_buffer *buffer, const void *bytes, size_t n)
{
	if (n)
		memcpy(kv_buffer_extend(buffer, n), bytes, n);
}

static inline void kv_buffer_add_u32(struct kv_buffer *buffer, uint32_t value)
{
	kv_buffer_add(buffer, &value, sizeof(value));
}

static inline void kv_buffer_add_u64(struct kv_buffer *buffer, uint64_t value)
{
	kv_buffer_add(buffer, &value, sizeof(value));
}

#endif
