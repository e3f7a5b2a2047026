/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks histories of single registers for linearizability. Every write writes a value of its
 * own, so the reads of a value are known to belong to one write, and the check is that of Gibbons
 * and Korach ("Testing Shared Memories", 1997): for each value take the time from the first end
 * to the last beginning of its operations (a forward zone when it runs forward); no two forward
 * zones may overlap and no backward zone may lie within a forward one.
 */
#ifndef KV_HISTORY_H
#define KV_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

#define KV_HISTORY_NEVER UINT64_MAX

struct kv_history_op {
	uint64_t key;
	uint64_t value; /* written or read; 0 is what a key holds at first */
	uint64_t start; /* any clock that all operations share */
	uint64_t end;   /* KV_HISTORY_NEVER: a write whose outcome is unknown */
	bool write;
};

PTF_VEC_TYPEDEF(kv_history, struct kv_history_op);

/* True when the history is linearizable; else `why` (of size bytes) says what contradicts. Sorts
 * the operations. */
bool kv_history_check(struct kv_history *history, char *why, size_t size);

#endif
