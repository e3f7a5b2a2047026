/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write-ahead log: files DIR/wal-NNNNNNNN of records (kv_record.h), written by a thread of
 * its own (kv-wal). All batches that wait are written together and made durable by one fdatasync.
 * An error of the disk is final: what it did to the file nobody can tell.
 */
#ifndef KV_WAL_H
#define KV_WAL_H

#include "raft/raft.h"
#include "wal/kv_record.h"

struct kv_wal_options {
	const char *directory;
	enum kv_recover recover;
	uint64_t segment_bytes; /* a new file is begun behind it */
	bool sync_each;         /* fdatasync for every entry, not for every group */
	bool intact_prefix;     /* at damage: go on with what is before it */
	/* Batches up to seq are durable; called on the log's thread. */
	void (*done)(void *context, uint64_t seq);
	/* Nothing can be written any more; called on the log's thread. */
	void (*failed)(void *context, const char *what);
	void *context;
};

struct kv_wal;

struct kv_wal_stats {
	uint64_t records, bytes; /* recovered */
	uint64_t calls;          /* system calls that read */
	uint64_t damaged_bytes;  /* cut off the end */
};

/* Opens the directory; records are then read with kv_wal_next until it returns 1. */
struct kv_wal *kv_wal_create(const struct kv_wal_options *options, struct ptf_error *err);
void kv_wal_destroy(struct kv_wal *wal);

/* 0: a record, 1: all were read. A torn end of the last file is cut off. Other damage is an error
 * that names file and offset, or with intact_prefix the end. */
int kv_wal_next(struct kv_wal *wal, struct kv_record *record, struct ptf_error *err);

/* Begins to write, with the hard state that was read last. */
int kv_wal_start(
        struct kv_wal *wal, const struct raft_hard_state *hard_state, struct ptf_error *err);

/* Queues what ready.seq asks for; takes references of its own. */
void kv_wal_write(struct kv_wal *wal, const struct raft_ready *ready);

/* Removes files that only hold entries before index. */
void kv_wal_drop_before(struct kv_wal *wal, uint64_t index);

void kv_wal_stats(const struct kv_wal *wal, struct kv_wal_stats *stats);

#endif
