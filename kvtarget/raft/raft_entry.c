/* SPDX-License-Identifier: BSD-2-Clause */
#include "raft/raft_entry.h"

#include "common/kv_alloc.h"

struct raft_payload *raft_payload_create(uint32_t size)
{
	struct raft_payload *payload = malloc(sizeof(*payload) + size);

	if (!payload)
		kv_out_of_memory();
	atomic_init(&payload->refs, 1);
	payload->size = size;
	return payload;
}

void raft_payload_unref(struct raft_payload *payload)
{
	if (payload && atomic_fetch_sub_explicit(&payload->refs, 1, memory_order_acq_rel) == 1)
		free(payload);
}

struct raft_entry raft_entry_ref(const struct raft_entry *entry)
{
	if (entry->payload)
		atomic_fetch_add_explicit(&entry->payload->refs, 1, memory_order_relaxed);
	return *entry;
}

void raft_entry_vec_append(struct raft_entry_vec *vec, const struct raft_entry *entries, size_t n)
{
	kv_vec_reserve(vec, n);
	for (size_t i = 0; i < n; i++)
		vec->v[vec->n++] = raft_entry_ref(&entries[i]);
}

void raft_entry_vec_release(struct raft_entry_vec *vec)
{
	ptf_vec_foreach (entry, vec)
		raft_payload_unref(entry->payload);
	ptf_vec_release(vec);
}
