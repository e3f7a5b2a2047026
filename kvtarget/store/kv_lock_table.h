/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Row locks with wait queues, as a database keeps them for its transactions; an owner is a client
 * connection. A request that would close a circle of waiting owners is refused. To see that, one
 * has to know what an owner waits for: `list` searches the queues for it, `hash` looks it up.
 */
#ifndef KV_LOCK_TABLE_H
#define KV_LOCK_TABLE_H

#include <stdbool.h>

#include "common/kv_buffer.h"

struct kv_lock_table;

enum kv_lock_status {
	KV_LOCK_GRANTED,
	KV_LOCK_WAITING, /* `granted` is called later */
	KV_LOCK_DEADLOCK,
	KV_LOCK_HELD, /* by this owner already */
};

/* granted(context, owner, request): a request that waited has its lock. Called with no lock of
 * the table held, on the thread that gave the lock up. */
struct kv_lock_table *kv_lock_table_create(
        bool list, void (*granted)(void *context, uint64_t owner, void *request), void *context);
void kv_lock_table_destroy(struct kv_lock_table *table);

/* `request` is the caller's, handed back by `granted`. An owner waits for one lock at a time. */
enum kv_lock_status kv_lock_table_lock(
        struct kv_lock_table *table, struct kv_slice key, uint64_t owner, void *request);

/* False when the owner does not hold it. */
bool kv_lock_table_unlock(struct kv_lock_table *table, struct kv_slice key, uint64_t owner);

/* The owner is gone: its locks go to those who wait, and the request with which it waited itself,
 * if there is one, is forgotten; true when that was so. */
bool kv_lock_table_release_owner(struct kv_lock_table *table, uint64_t owner);

#endif
