/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that wait for a connection, and how many of them go into one write. `scan` sizes a
 * batch by walking over every entry of every message in it whenever one is added; `cached` adds
 * up the sizes that the messages carry.
 */
#ifndef KV_BATCHER_H
#define KV_BATCHER_H

#include "net/kv_frame.h"

struct kv_batcher {
	bool scan;
	uint32_t max_bytes;            /* of a batch; one message always fits */
	struct raft_message_vec queue; /* oldest first, from `head` on */
	size_t head;
	uint64_t queued_bytes; /* entries of all that wait */
};

/* Takes over the message's entries. */
void kv_batcher_push(struct kv_batcher *batcher, const struct raft_message *message);

/* Appends the next batch to out as frames; the number of messages. */
size_t kv_batcher_collect(struct kv_batcher *batcher, struct kv_buffer *out);

/* Drops all that waits. */
void kv_batcher_clear(struct kv_batcher *batcher);

static inline size_t kv_batcher_waiting(const struct kv_batcher *batcher)
{
	return batcher->queue.n - batcher->head;
}

#endif
