/* SPDX-License-Identifier: BSD-2-Clause */
#include "raft/raft_log.h"

#include <assert.h>
#include <string.h>

#include "common/kv_alloc.h"

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
	*log = (struct raft_log){.base_index = base_index,
	        .base_term = base_term,
	        .commit = base_index,
	        .written = base_index,
	        .persisted = base_index};
}

static void drop_entries(struct raft_log *log)
{
	for (size_t i = log->head; i < log->entries.n; i++)
		raft_payload_unref(log->entries.v[i].payload);
	log->entries.n = log->head = 0;
}

void raft_log_release(struct raft_log *log)
{
	drop_entries(log);
	ptf_vec_release(&log->entries);
	ptf_vec_release(&log->batches);
}

uint64_t raft_log_last(const struct raft_log *log)
{
	return log->base_index + (log->entries.n - log->head);
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
	return log->entries.n > log->head ? log->entries.v[log->entries.n - 1].term
	                                  : log->base_term;
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term)
{
	if (index < log->base_index || index > raft_log_last(log))
		return false;
	*term = index == log->base_index
	                ? log->base_term
	                : log->entries.v[log->head + (index - log->base_index - 1)].term;
	return true;
}

const struct raft_entry *raft_log_from(const struct raft_log *log, uint64_t index, size_t *n)
{
	uint64_t last = raft_log_last(log);

	assert(index > log->base_index);
	*n = index > last ? 0 : last - index + 1;
	return *n ? &log->entries.v[log->head + (index - log->base_index - 1)] : NULL;
}

void raft_log_push(struct raft_log *log, struct raft_entry entry)
{
	assert(entry.index == raft_log_last(log) + 1);
	kv_vec_push(&log->entries, entry);
}

void raft_log_truncate(struct raft_log *log, uint64_t index)
{
	uint64_t keep = index - 1;

	assert(index > log->base_index);
	while (raft_log_last(log) > keep)
		raft_payload_unref(log->entries.v[--log->entries.n].payload);
	if (log->written > keep)
		log->written = keep;
	if (log->persisted > keep)
		log->persisted = keep;
	/* What is being written at these places is not what the log says any more. */
	ptf_vec_foreach (batch, &log->batches)
		if (batch->last > keep)
			batch->last = keep;
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
	uint64_t term;

	if (index <= log->base_index || !raft_log_term(log, index, &term))
		return;
	for (; log->base_index < index; log->base_index++)
		raft_payload_unref(log->entries.v[log->head++].payload);
	log->base_term = term;
	if (log->head > 1024 && log->head > log->entries.n / 2) {
		memmove(log->entries.v, log->entries.v + log->head,
		        (log->entries.n - log->head) * sizeof(*log->entries.v));
		log->entries.n -= log->head;
		log->head = 0;
	}
}

void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
	drop_entries(log);
	log->base_index = log->commit = log->written = base_index;
	log->base_term = base_term;
	log->persisted = 0;
	ptf_vec_foreach (batch, &log->batches)
		batch->last = 0;
}

void raft_log_begin_batch(struct raft_log *log, uint64_t seq)
{
	log->written = raft_log_last(log);
	kv_vec_push(&log->batches, (struct raft_log_batch){.seq = seq, .last = log->written});
}

void raft_log_end_batch(struct raft_log *log, uint64_t seq)
{
	size_t done = 0;

	while (done < log->batches.n && log->batches.v[done].seq <= seq) {
		if (log->batches.v[done].last > log->persisted)
			log->persisted = log->batches.v[done].last;
		done++;
	}
	if (!done)
		return;
	log->batches.n -= done;
	memmove(log->batches.v, log->batches.v + done, log->batches.n * sizeof(*log->batches.v));
}

uint64_t raft_log_agree(const struct raft_log *log, uint64_t index, uint64_t term)
{
	uint64_t at;

	if (index > raft_log_last(log))
		index = raft_log_last(log);
	while (raft_log_term(log, index, &at) && at > term)
		index--;
	return index;
}
