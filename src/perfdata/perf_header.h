/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of a perf.data: attributes and features, whether they stand in a file header or come
 * as records of a pipe. Layout: tools/perf/Documentation/perf.data-file-format.txt.
 */
#ifndef PTF_PERF_HEADER_H
#define PTF_PERF_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/reader.h"
#include "base/vec.h"
#include "perfdata/perf_reader.h"

#define PTF_PERF_MAGIC 0x32454c4946524550ull /* "PERFILE2" */
#define PTF_PERF_FILE_HEADER_SIZE 104u
#define PTF_PERF_PIPE_HEADER_SIZE 16u

/* Feature bits (tools/perf/util/header.h). */
enum {
	PTF_FEATURE_TRACING_DATA = 1,
	PTF_FEATURE_BUILD_ID = 2,
	PTF_FEATURE_HOSTNAME = 3,
	PTF_FEATURE_OSRELEASE = 4,
	PTF_FEATURE_VERSION = 5,
	PTF_FEATURE_ARCH = 6,
	PTF_FEATURE_NRCPUS = 7,
	PTF_FEATURE_CPUDESC = 8,
	PTF_FEATURE_CPUID = 9,
	PTF_FEATURE_CMDLINE = 11,
	PTF_FEATURE_EVENT_DESC = 12,
	PTF_FEATURE_AUXTRACE = 18,
	PTF_FEATURE_SAMPLE_TIME = 21,
	PTF_FEATURE_PTFLAME = 255,
};

struct ptf_perf_header {
	struct ptf_perf_info info; /* arrays point into the vectors below */
	struct ptf_arena arena;    /* strings and id arrays */
	PTF_VEC(struct ptf_perf_attr) attrs;
	PTF_VEC(struct ptf_build_id) build_ids;
	struct ptf_hash_map attr_of_id;  /* event id -> index in attrs */
	size_t n_ids;                    /* ids of all events */
	const uint8_t *event_desc;       /* the EVENT_DESC feature, or NULL */
	size_t event_desc_size;          /* bytes */
	uint64_t data_offset, data_size; /* file mode: the data section, bytes */
};

void ptf_perf_header_release(struct ptf_perf_header *header);

/* Parses a file's or a pipe's header out of the whole file. Broken features are skipped (they say
 * nothing that decoding cannot do without); a broken header or attribute section is an error. */
int ptf_perf_header_parse(struct ptf_perf_header *header, const uint8_t *bytes, size_t size,
        const char *path, struct ptf_error *err);

/* Adds what a pipe's HEADER_ATTR, HEADER_FEATURE, HEADER_BUILD_ID or EVENT_UPDATE record says.
 * body: behind the record header. 0, -PTF_ENOMEM, or -PTF_EFORMAT (no message) for a broken record.
 */
int ptf_perf_header_attr_record(struct ptf_perf_header *header, struct ptf_reader *body);
int ptf_perf_header_feature_record(struct ptf_perf_header *header, struct ptf_reader *body);
int ptf_perf_header_event_update(struct ptf_perf_header *header, struct ptf_reader *body);
int ptf_perf_header_build_id(
        struct ptf_perf_header *header, uint16_t misc, struct ptf_reader *body);

/* What stands behind a pipe's HEADER_TRACING_DATA record. 0 or -PTF_ENOMEM. */
int ptf_perf_header_tracing_data(struct ptf_perf_header *header, struct ptf_reader *data);

/* Once, when everything was parsed: gives the events their names. */
void ptf_perf_header_finish(struct ptf_perf_header *header);

/* The attribute that an event id belongs to; the first one when the id is unknown; NULL: none. */
const struct ptf_perf_attr *ptf_perf_header_attr(const struct ptf_perf_header *header, uint64_t id);

#endif
