/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a perf.data: a file, the directory form, or a pipe stream (from a file, a FIFO or "-").
 *
 * Records come in the order of time; those of one time in the order of the file (of a directory:
 * data, data.0, ...). A record without a time comes behind all that stand before it in its
 * file. All of the file is looked through at create, with 16 bytes of memory for each record:
 * perf's rounds (FINISHED_ROUND) are not needed for that, and a record that comes a round late is
 * put right.
 *
 * PERF_RECORD_COMPRESSED and _COMPRESSED2 are unpacked and never seen by the caller. AUX data is
 * not copied: a file is mapped, a stream is spooled to an unlinked temporary file which is mapped.
 *
 * Damage: a file that is no perf.data or whose header is broken is an error at create. A broken or
 * truncated record ends the reading of its file: `info.damage` says where and why, and the records
 * and AUX data before it are delivered.
 */
#ifndef PTF_PERF_READER_H
#define PTF_PERF_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "perfdata/perf_record.h"

struct ptf_perf_reader;

/* One event of the file (struct perf_event_attr and its ids). */
struct ptf_perf_attr {
	uint32_t type; /* PERF_TYPE_* or a dynamic PMU number */
	uint64_t config;
	uint64_t sample_type; /* PERF_SAMPLE_* */
	uint64_t read_format;
	bool sample_id_all, context_switch, use_clockid, exclude_kernel, exclude_user;
	int32_t clockid;     /* when use_clockid */
	const char *name;    /* from EVENT_DESC, or NULL */
	const uint64_t *ids; /* n_ids event ids */
	size_t n_ids;
};

struct ptf_build_id {
	const char *filename;
	uint8_t id[20];
	uint8_t size; /* bytes */
};

/* What the header says, or the records that a pipe has in its place; all of it is complete after
 * create and lives as long as the reader. Absent strings are NULL. */
struct ptf_perf_info {
	const struct ptf_perf_attr *attrs;
	size_t n_attrs;
	const char *hostname, *os_release, *arch, *cpuid, *cpu_desc, *cmdline, *version;
	uint32_t nr_cpus;                     /* available, 0 unknown */
	const struct ptf_build_id *build_ids; /* from the BUILD_ID feature or records */
	size_t n_build_ids;
	const uint8_t
	        *tracing_data;    /* formats of tracepoints (perf's trace-event-info.c), or NULL */
	size_t tracing_data_size; /* bytes */
	const uint8_t *ptflame;   /* feature 255, written by our recorder, or NULL */
	size_t ptflame_size;      /* bytes */
	bool pipe_mode, directory, compressed;
	uint64_t skipped;        /* records of unknown type */
	uint64_t records;        /* records delivered */
	struct ptf_error damage; /* code 0, or where and why reading stopped early */
};

/* Opens path ("-": standard input). Errors: I/O; PTF_EFORMAT when it is no perf.data (message
 * names the file and what was found); PTF_EUNSUPPORTED for big-endian files. */
int ptf_perf_reader_create(
        struct ptf_perf_reader **reader, const char *path, struct ptf_error *err);
void ptf_perf_reader_destroy(struct ptf_perf_reader *reader);

/* Is this path (its first bytes) a perf.data? 1 yes, 0 no, <0 cannot be read. */
int ptf_perf_reader_probe(const char *path, struct ptf_error *err);

const struct ptf_perf_info *ptf_perf_reader_info(const struct ptf_perf_reader *reader);

/* The next record: 0 and *out, 1 at the end, <0 on I/O or memory errors. */
int ptf_perf_reader_next(
        struct ptf_perf_reader *reader, struct ptf_record *out, struct ptf_error *err);

/* All AUX data, in file order (of a directory: file by file); owned by the reader. */
const struct ptf_aux_chunk *ptf_perf_reader_aux_chunks(
        const struct ptf_perf_reader *reader, size_t *n);

#endif
