/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/kv_batcher.h"

void kv_batcher_push(struct kv_batcher *batcher, const struct raft_message *message)
{
	if (batcher->head == batcher->queue.n)
		batcher->head = batcher->queue.n = 0;
	kv_vec_push(&batcher->queue, *message);
	batcher->queued_bytes += message->entry_bytes;
}

/* The size of n messages, entry by entry. */
__attribute__((noinline)) /* profiles show it by name */
static uint64_t
scan_batch_size(const struct raft_message *messages, size_t n)
{
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++)
		ptf_vec_foreach (entry, &messages[i].entries)
			size += raft_entry_bytes(entry);
	return size;
}

static size_t batch_length(const struct kv_batcher *batcher)
{
	const struct raft_message *first = batcher->queue.v + batcher->head;
	size_t waiting = kv_batcher_waiting(batcher), n = 0;
	uint64_t size = 0;

	for (; n < waiting; n++) {
		size = batcher->scan ? scan_batch_size(first, n + 1) : size + first[n].entry_bytes;
		if (n && size > batcher->max_bytes)
			break;
	}
	return n;
}

size_t kv_batcher_collect(struct kv_batcher *batcher, struct kv_buffer *out)
{
	size_t n = batch_length(batcher);

	for (size_t i = 0; i < n; i++) {
		struct raft_message *message = &batcher->queue.v[batcher->head++];

		kv_frame_add_message(out, message);
		batcher->queued_bytes -= message->entry_bytes;
		raft_message_release(message);
	}
	return n;
}

void kv_batcher_clear(struct kv_batcher *batcher)
{
	while (batcher->head < batcher->queue.n)
		raft_message_release(&batcher->queue.v[batcher->head++]);
	ptf_vec_release(&batcher->queue);
	batcher->head = 0;
	batcher->queued_bytes = 0;
}
