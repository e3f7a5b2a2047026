/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a perf map: the text file /tmp/perf-PID.map in which a JIT compiler leaves the names of the
 * code that it makes, one "START SIZE name" in hexadecimal on each line.
 *
 * Source: tools/perf/Documentation/jit-interface.txt of Linux.
 */
#ifndef PTF_PERF_MAP_H
#define PTF_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>

struct ptf_perf_map {
	const char *at, *end; /* what is left to read */
	uint64_t bad_lines;   /* lines passed over because they are no such thing */
};

struct ptf_perf_map_entry {
	uint64_t start, size; /* address and bytes; size > 0, not beyond the last address */
	const char *name;     /* name_len bytes in the file, at least one */
	size_t name_len;
};

/* text is borrowed and need not be terminated. */
void ptf_perf_map_init(struct ptf_perf_map *map, const void *text, size_t size);

/* The next entry: 0, or 1 at the end. A last line without a newline may be cut off: it is taken
 * only if it has all three parts. */
int ptf_perf_map_next(struct ptf_perf_map *map, struct ptf_perf_map_entry *entry);

#endif
