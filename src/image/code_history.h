/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mappings of one process as they came and went, cut into epochs.
 */
#ifndef PTF_CODE_HISTORY_H
#define PTF_CODE_HISTORY_H

#include "base/vec.h"
#include "image/code_images.h"

/* A jitdump that a process mapped. */
struct ptf_code_dump {
	struct ptf_module *module;
	uint64_t time_ns; /* when, 0: before the recording */
};

struct ptf_code_history {
	PTF_VEC(struct ptf_code_epoch *) epochs; /* owned, in time order, at least one */
	size_t cap;                              /* maps that the last epoch has room for */
	bool exited;                             /* its main thread has ended */
	bool anonymous;                          /* it had code that no file holds */
	PTF_VEC(struct ptf_code_dump) dumps;     /* its jitdumps, each once */
	PTF_VEC(uint64_t) clears;                /* when everything was unmapped, in order */
	struct ptf_jit_code *jit, *names;        /* owned, once frozen; NULL: none */
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

/* Cuts the epochs at times (sorted), which begin new ones with the same maps; each epoch has the
 * process's own code made at run time, as it is at the epoch's last instant. false when out of
 * memory. */
bool ptf_code_history_cut(struct ptf_code_history *history, const uint64_t *times, size_t n);

/* The epoch of a time: the first one for times before it. */
const struct ptf_code_epoch *ptf_code_history_at(
        const struct ptf_code_history *history, uint64_t time_ns);

/* The mapping in sorted maps that covers ip, or NULL. */
const struct ptf_code_map *ptf_code_maps_find(
        const struct ptf_code_map *maps, size_t n, uint64_t ip);

#endif
