/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log entries. The payload is shared by reference count between the log, messages, the writer of
 * the write-ahead log and the state machine, which may be different threads; it never changes.
 */
#ifndef RAFT_ENTRY_H
#define RAFT_ENTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/vec.h"

enum raft_entry_type {
	RAFT_ENTRY_NOOP, /* what a new leader writes to commit its predecessors' entries */
	RAFT_ENTRY_DATA,
};

struct raft_payload {
	atomic_uint refs;
	uint32_t size; /* bytes */
	uint8_t bytes[];
};

struct raft_entry {
	uint64_t index; /* place in the log, from 1 */
	uint64_t term;
	enum raft_entry_type type;
	struct raft_payload *payload; /* one reference; NULL for a no-op */
};

PTF_VEC_TYPEDEF(raft_entry_vec, struct raft_entry);

/* A payload of size bytes, not yet filled, with one reference. */
struct raft_payload *raft_payload_create(uint32_t size);

/* Gives up one reference; NULL is allowed. */
void raft_payload_unref(struct raft_payload *payload);

/* A copy of the entry with a reference of its own. */
struct raft_entry raft_entry_ref(const struct raft_entry *entry);

/* Bytes that the entry counts for in limits: its payload and a fixed part. */
static inline uint32_t raft_entry_bytes(const struct raft_entry *entry)
{
	return 32 + (entry->payload ? entry->payload->size : 0);
}

/* Appends references to the n entries. */
void raft_entry_vec_append(struct raft_entry_vec *vec, const struct raft_entry *entries, size_t n);

/* Gives up all references and the array. */
void raft_entry_vec_release(struct raft_entry_vec *vec);

#endif
