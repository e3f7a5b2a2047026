/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the records of a perf.data stand, in the order of time: 16 bytes for each, less than any
 * record that the kernel writes.
 */
#ifndef PTF_PERF_INDEX_H
#define PTF_PERF_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

enum { PTF_PERF_INDEX_MAX_REGION = 4095 };

struct ptf_perf_index_entry {
	uint64_t time_ns;
	uint64_t region : 12;  /* number of the file */
	uint64_t unpacked : 1; /* 1: in what was decompressed of that file, 0: in the file */
	uint64_t offset : 51;  /* of the record there, bytes */
};

struct ptf_perf_index {
	PTF_VEC(struct ptf_perf_index_entry) entries;
};

/* A zeroed struct is an empty index. */
void ptf_perf_index_release(struct ptf_perf_index *index);

/* Sorts by time; entries of one time stay in the order in which they were pushed. False when out
 * of memory (the order is as it was). */
bool ptf_perf_index_sort(struct ptf_perf_index *index);

#endif
