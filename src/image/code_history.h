/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mappings of one process as they came and went, cut into epochs.
 */
#ifndef PTF_CODE_HISTORY_H
#define PTF_CODE_HISTORY_H

#include "base/vec.h"
#include "image/code_images.h"

struct ptf_code_history {
	PTF_VEC(struct ptf_code_epoch *) epochs; /* owned, in time order, at least one */
	size_t cap;                              /* maps that the last epoch has room for */
	bool exited;                             /* its main thread has ended */
};

/* A process seen from time_ns on; NULL when out of memory. */
struct ptf_code_history *ptf_code_history_create(uint64_t time_ns);
void ptf_code_history_destroy(struct ptf_code_history *history);

/* Everything is unmapped (exec, a new process of that number). false when out of memory. */
bool ptf_code_history_clear(struct ptf_code_history *history, uint64_t time_ns);

/* The process begins with the present maps of another one (fork). false when out of memory. */
bool ptf_code_history_copy(
        struct ptf_code_history *history, const struct ptf_code_history *from, uint64_t time_ns);

/*
 * A new mapping. Where it lies over an older one with other content, that part is replaced, in a
 * new epoch (in the present one, when that begins at the same time). Content is the same when
 * module and distance between address and file offset are. false when out of memory.
 */
bool ptf_code_history_map(
        struct ptf_code_history *history, const struct ptf_code_map *map, uint64_t time_ns);

/* The epoch of a time: the first one for times before it. */
const struct ptf_code_epoch *ptf_code_history_at(
        const struct ptf_code_history *history, uint64_t time_ns);

/* The mapping in sorted maps that covers ip, or NULL. */
const struct ptf_code_map *ptf_code_maps_find(
        const struct ptf_code_map *maps, size_t n, uint64_t ip);

#endif
