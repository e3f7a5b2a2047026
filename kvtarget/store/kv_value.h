/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that never change, shared by reference count; or the place of such in the value log. */
#ifndef KV_VALUE_H
#define KV_VALUE_H

#include <stdatomic.h>

#include "common/kv_buffer.h"

struct kv_value_file;

struct kv_value {
	atomic_uint refs;
	uint32_t size;              /* bytes */
	struct kv_value_file *file; /* NULL: the bytes are here; else one reference */
	uint64_t offset;            /* in the file */
	uint8_t bytes[];            /* size of them, or none */
};

PTF_VEC_TYPEDEF(kv_value_vec, struct kv_value *);

struct kv_value *kv_value_create(const void *bytes, uint32_t size);
struct kv_value *kv_value_ref(struct kv_value *value);

/* NULL is allowed. */
void kv_value_unref(struct kv_value *value);
void kv_value_vec_release(struct kv_value_vec *vec);

#endif
