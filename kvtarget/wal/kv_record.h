/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records on disk, in the write-ahead log and in snapshots: a header of KV_RECORD_HEAD bytes,
 * then bucket, key and value, zeros up to a multiple of 8. The checksum covers all but itself and
 * the padding. A header of zeros is the end (files are preallocated).
 */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include <ptflame/error.h>
#include <stdbool.h>

#include "wal/kv_command.h"

#define KV_RECORD_HEAD 40

enum kv_record_type {
	KV_RECORD_END,        /* nothing is written from here on */
	KV_RECORD_SEGMENT,    /* first of each log file; index: its number */
	KV_RECORD_ENTRY,      /* a command */
	KV_RECORD_NOOP,       /* an entry without one */
	KV_RECORD_HARD_STATE, /* index: commit, term, value: the vote as u64 */
	KV_RECORD_INSTALL,    /* a received snapshot of (index, term) replaces what was before */
	KV_RECORD_SNAPSHOT,   /* first of a snapshot file: index, term */
	KV_RECORD_ITEM,       /* a key of a snapshot */
	KV_RECORD_LAST,       /* last of a snapshot file; index: how many items */
	KV_RECORD_TYPES
};

struct kv_record {
	enum kv_record_type type;
	struct kv_command command; /* slices valid until the next record is read */
	uint64_t index, term;
	uint64_t batch;  /* number of the write that it came with */
	uint64_t offset; /* of the header in its file, set by the reader */
};

/* Appends the record with its checksum and padding. */
void kv_record_encode(const struct kv_record *record, struct kv_buffer *out);

enum kv_recover {
	KV_RECOVER_STREAM, /* one buffered reader, records handed on one by one */
	KV_RECOVER_BLOCK,  /* fixed blocks, records put together over their borders, all kept */
	KV_RECOVER_ENTRY,  /* header, bucket, key and value by a pread each */
};

struct kv_record_reader;

/* NULL and an error when the file cannot be read. */
struct kv_record_reader *kv_record_reader_create(
        const char *path, enum kv_recover how, struct ptf_error *err);
void kv_record_reader_destroy(struct kv_record_reader *reader);

/* 0: a record; 1: the end, a header of zeros or the end of the file; -PTF_EFORMAT: the bytes at
 * err->file_offset are no whole record. Further calls say the same. */
int kv_record_reader_next(
        struct kv_record_reader *reader, struct kv_record *record, struct ptf_error *err);

/* System calls made so far. */
uint64_t kv_record_reader_calls(const struct kv_record_reader *reader);

/* Decodes the record at the start of the bytes. 0; 1: zeros; -PTF_ETRUNC: more bytes are needed,
 * *used says how many; -PTF_EFORMAT. */
int kv_record_decode(const uint8_t *bytes, size_t size, struct kv_record *record, size_t *used);

#endif
