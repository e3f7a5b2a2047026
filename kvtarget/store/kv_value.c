/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/kv_value.h"

#include "store/kv_value_log.h"

struct kv_value *kv_value_create(const void *bytes, uint32_t size)
{
	struct kv_value *value = malloc(sizeof(*value) + size);

	if (!value)
		kv_out_of_memory();
	atomic_init(&value->refs, 1);
	value->size = size;
	value->file = NULL;
	value->offset = 0;
	if (size)
		memcpy(value->bytes, bytes, size);
	return value;
}

struct kv_value *kv_value_ref(struct kv_value *value)
{
	atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
	return value;
}

void kv_value_unref(struct kv_value *value)
{
	if (!value || atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (value->file)
		kv_value_file_unref(value->file, value->size);
	free(value);
}

void kv_value_vec_release(struct kv_value_vec *vec)
{
	ptf_vec_foreach (value, vec)
		kv_value_unref(*value);
	ptf_vec_release(vec);
}
