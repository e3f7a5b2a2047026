/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large values outside of the hash table. The files hold nothing but values, one after the other;
 * they are no log to recover from (that is the write-ahead log with its snapshots) and begin
 * empty with each start. A file lives as long as values refer to it.
 */
#ifndef KV_VALUE_LOG_H
#define KV_VALUE_LOG_H

#include <ptflame/error.h>
#include <stdbool.h>

#include "store/kv_value.h"

struct kv_value_log;

struct kv_value_log_stats {
	uint64_t files, bytes, live_bytes;
};

/* Removes what an earlier run has left in DIR/values. */
struct kv_value_log *kv_value_log_create(const char *directory, struct ptf_error *err);

/* All values must have been given up. */
void kv_value_log_destroy(struct kv_value_log *log);

/* Writes bytes; the value that stands for them, or NULL and an error. */
struct kv_value *kv_value_log_add(
        struct kv_value_log *log, const void *bytes, uint32_t size, struct ptf_error *err);

/* Reads a value's bytes to `to`; false when the file cannot be read. */
bool kv_value_log_read(const struct kv_value *value, void *to);

/* True when the value is in a file of which most is garbage: to be added anew. */
bool kv_value_log_is_sparse(const struct kv_value *value);

/* For kv_value.c: a value that referred to the file is gone. */
void kv_value_file_unref(struct kv_value_file *file, uint32_t size);

void kv_value_log_stats(struct kv_value_log *log, struct kv_value_log_stats *stats);

#endif
