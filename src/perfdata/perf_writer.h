/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a perf.data file that perf itself decodes: `perf script --itrace=cr` is the proof.
 *
 * Order of calls: create, add_attr for each event, then records and AUX data in any order, then
 * finish. Everything goes to a temporary name beside the target; finish renames it, moving an
 * existing file to NAME.old, so that a reader never sees half a file. destroy without finish
 * removes the temporary file.
 */
#ifndef PTF_PERF_WRITER_H
#define PTF_PERF_WRITER_H

#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/vec.h"
#include "perfdata/perf_record.h"

struct ptf_perf_writer;

/* Strings may be NULL (feature left out). */
struct ptf_perf_features {
	const char *hostname, *os_release, *arch, *cpuid, *cpu_desc;
	uint32_t nr_cpus;
	int argc;                    /* command line */
	const char *const *argv;     /* argc strings */
	const uint8_t *tracing_data; /* formats of tracepoints, as perf writes them */
	size_t tracing_data_size;    /* bytes */
	const uint8_t *ptflame;      /* content of feature 255 */
	size_t ptflame_size;         /* bytes */
};

int ptf_perf_writer_create(
        struct ptf_perf_writer **writer, const char *path, struct ptf_error *err);
void ptf_perf_writer_destroy(struct ptf_perf_writer *writer);

/* Adds an event. name goes to EVENT_DESC; ids are its event ids (a per-thread or per-CPU event has
 * one for each; at least one). All attrs must share sample_id_all and those bits of sample_type
 * that a sample_id is made of, and the others too unless IDENTIFIER is among them. Before the first
 * record. PTF_EINVAL when it is otherwise. */
int ptf_perf_writer_add_attr(struct ptf_perf_writer *writer, const struct perf_event_attr *attr,
        const char *name, const uint64_t *ids, size_t n_ids, struct ptf_error *err);

/* Writes one record of the kinds MMAP2, COMM, FORK, EXIT, SWITCH, SWITCH_CPU_WIDE, AUX,
 * ITRACE_START, LOST, AUXTRACE_INFO, TIME_CONV, THREAD_MAP (of one thread: the sid's tid),
 * FINISHED_ROUND, SAMPLE (no fields behind the raw data). The sample_id is taken from record->sid.
 * PTF_EINVAL for other kinds, and when it is longer than a record can be (65528 bytes). */
int ptf_perf_writer_record(
        struct ptf_perf_writer *writer, const struct ptf_record *record, struct ptf_error *err);

PTF_VEC_TYPEDEF(ptf_perf_bytes, uint8_t);

/* Appends the bytes of such a record, of a file all of whose events are like attr; id: of the
 * event. Errors as above. */
int ptf_perf_record_encode(struct ptf_perf_bytes *bytes, const struct perf_event_attr *attr,
        uint64_t id, const struct ptf_record *record, struct ptf_error *err);

/* A record as the kernel wrote it into a ring buffer (header included), copied as it is. PTF_EINVAL
 * when its header says another size. */
int ptf_perf_writer_raw(
        struct ptf_perf_writer *writer, const void *record, size_t size, struct ptf_error *err);

/* A PERF_RECORD_AUXTRACE with its data, chunk->bytes; indexed in the AUXTRACE feature. Data is
 * filled up with zeros (PAD packets) to a multiple of 8 bytes. perf wants a reference, not 0. */
int ptf_perf_writer_auxtrace(
        struct ptf_perf_writer *writer, const struct ptf_aux_chunk *chunk, struct ptf_error *err);

/* Writes the feature sections and the header, flushes, renames. *bytes (may be NULL): file size. */
int ptf_perf_writer_finish(struct ptf_perf_writer *writer, const struct ptf_perf_features *features,
        uint64_t *bytes, struct ptf_error *err);

#endif
