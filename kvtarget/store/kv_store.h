/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state machine: keys of buckets in a sharded hash table, and in order by a skip list per
 * shard. One thread applies commands, any number read. Values never change, they are shared by
 * reference count; large ones stand in a value log (kv_value_log.h) and only their place is kept.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "wal/kv_command.h"
#include "store/kv_value.h"
#include "store/kv_value_log.h"

struct kv_store_options {
	bool global_lock;      /* one lock for all shards */
	const char *directory; /* for the value log; NULL: all values stay in memory */
	uint32_t large_value;  /* bytes from which a value goes to the value log */
};

struct kv_store;

/* The outcome of a command. */
struct kv_result {
	bool error;     /* message says why; nothing was changed */
	int64_t number; /* DEL: keys removed; INCR: the new value */
	const char *message;
};

struct kv_store *kv_store_create(const struct kv_store_options *options, struct ptf_error *err);
void kv_store_destroy(struct kv_store *store);

/* Applies one command; deterministic. Fails only when the value log cannot be written. */
int kv_store_apply(struct kv_store *store, const struct kv_command *command,
        struct kv_result *result, struct ptf_error *err);

/* The value of a key with a reference for the caller, NULL when there is none. */
struct kv_value *kv_store_get(struct kv_store *store, struct kv_slice bucket, struct kv_slice key);

/* Appends the bytes of the key's value to out, copied (from the value log, if they are there)
 * under the shard's lock. 1: there is no such key; -PTF_EIO: the value log cannot be read. */
int kv_store_read(
        struct kv_store *store, struct kv_slice bucket, struct kv_slice key, struct kv_buffer *out);

bool kv_store_exists(struct kv_store *store, struct kv_slice bucket, struct kv_slice key);

/* Appends up to n keys of the bucket that follow `after` (size 0: from the start) in the order of
 * their bytes; the caller gives up their references. False when there are no more. */
bool kv_store_scan(struct kv_store *store, struct kv_slice bucket, struct kv_slice after, size_t n,
        struct kv_value_vec *keys);

/* Keys of all buckets. */
uint64_t kv_store_count(const struct kv_store *store);

/* An item of a snapshot; references are owned. */
struct kv_item {
	struct kv_value *name; /* bucket size (1 byte), bucket, key */
	struct kv_value *value;
};

PTF_VEC_TYPEDEF(kv_item_vec, struct kv_item);

/* Everything that is in the store, by reference: called by the applying thread, between
 * commands, so that it is one moment's state. */
void kv_store_capture(struct kv_store *store, struct kv_item_vec *items);
void kv_item_vec_release(struct kv_item_vec *items);

/* Removes everything, before a snapshot is loaded. */
void kv_store_clear(struct kv_store *store);

/* Copies what is still wanted of mostly empty value log files and removes these. Returns the
 * number of bytes won. Runs beside readers and the applying thread. */
uint64_t kv_store_compact(struct kv_store *store, struct ptf_error *err);

struct kv_value_log *kv_store_value_log(struct kv_store *store);

#endif
