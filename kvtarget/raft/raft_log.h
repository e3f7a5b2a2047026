/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of one node, in memory from its base on: entries up to and with `base_index` are gone,
 * a snapshot holds what they did. Which entries are on disk is known by write batches: each has a
 * number, and a truncation takes from the batches under way what they no longer vouch for.
 */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include <stdbool.h>

#include "raft/raft_entry.h"

struct raft_log_batch {
	uint64_t seq;  /* number of the write batch */
	uint64_t last; /* index up to which its completion makes the log durable */
};

struct raft_log {
	uint64_t base_index;           /* last index that is gone */
	uint64_t base_term;            /* its term */
	struct raft_entry_vec entries; /* entries.v[head + i] has index base_index + 1 + i */
	size_t head;                   /* slots at the start of entries that were compacted away */
	uint64_t commit;               /* highest index known to be committed */
	uint64_t written;              /* highest index handed out for writing */
	uint64_t persisted;            /* highest index known to be durable */
	PTF_VEC(struct raft_log_batch) batches; /* under way, oldest first */
};

/* An empty log behind (base_index, base_term), all of it durable and committed. */
void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term);
void raft_log_release(struct raft_log *log);

/* Index and term of the last entry, the base's when there is none. */
uint64_t raft_log_last(const struct raft_log *log);
uint64_t raft_log_last_term(const struct raft_log *log);

/* The term of the entry at index; false when it is compacted away or not there yet. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term);

/* The entries from index on (index > base_index); *n is how many there are. */
const struct raft_entry *raft_log_from(const struct raft_log *log, uint64_t index, size_t *n);

/* Takes over the entry (its reference); its index must be the next one. */
void raft_log_push(struct raft_log *log, struct raft_entry entry);

/* Removes index and everything behind it. */
void raft_log_truncate(struct raft_log *log, uint64_t index);

/* Forgets entries up to and with index, which must be in the log. */
void raft_log_compact(struct raft_log *log, uint64_t index);

/* Forgets everything: the log begins behind a snapshot that is still to be made durable. */
void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term);

/* All entries beyond `written` are now being written as batch seq. */
void raft_log_begin_batch(struct raft_log *log, uint64_t seq);

/* Batch seq and all before it are durable. */
void raft_log_end_batch(struct raft_log *log, uint64_t seq);

/* The highest index <= index whose term is <= term: where two logs may still agree. It is the
 * one before the base when that one's term is already too high. */
uint64_t raft_log_agree(const struct raft_log *log, uint64_t index, uint64_t term);

#endif
