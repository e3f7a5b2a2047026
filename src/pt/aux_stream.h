/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AUX streams, put together from the chunks of a file and cut into segments.
 *
 * A segment runs from a PSB *through* the next PSB+ (its PSBEND): code between the last packet
 * before a PSB and the FUP inside it belongs to the segment in front of it. Bytes are borrowed
 * from the chunks; only a segment that crosses a chunk border is copied, when it is decoded.
 */
#ifndef PTF_AUX_STREAM_H
#define PTF_AUX_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/vec.h"
#include "perfdata/perf_record.h"
#include "pt/pt_clock.h"

struct ptf_aux_segment {
	uint32_t stream;     /* index of its stream */
	uint32_t number;     /* within the stream, from 0 */
	uint64_t aux_offset; /* of its PSB */
	uint64_t next_psb;   /* bytes from its PSB to the next one, == size when there is none */
	uint64_t size;       /* bytes, the next PSB+ included */
	bool gap_before;     /* data is missing between the segment before and this one */
	bool lit;            /* it begins with tracing on */
	uint64_t start_ns;   /* perf clock of its PSB+, PTF_NO_TIME: not timed */
};

struct ptf_aux_stream {
	uint32_t idx;                         /* the file's number of the stream */
	int32_t tid, cpu;                     /* whose it is: one of them is -1 */
	PTF_VEC(struct ptf_aux_chunk) chunks; /* in AUX order, not overlapping */
	PTF_VEC(uint64_t) breaks;             /* AUX offsets behind which data was lost */
	PTF_VEC(uint64_t) stops;              /* AUX offsets where contiguous bytes end, sorted */
	uint64_t size;                        /* bytes in all chunks */
	uint64_t lost_bytes; /* bytes that no segment covers, and gaps between chunks */
};

struct ptf_aux_streams {
	PTF_VEC(struct ptf_aux_stream) streams;
	PTF_VEC(struct ptf_aux_segment) segments; /* stream by stream */
	const struct ptf_clock_params *clock;     /* borrowed, from cut */
};

void ptf_aux_streams_release(struct ptf_aux_streams *streams);

/* Adds the chunks of a file (borrowed, they must outlive the streams). */
int ptf_aux_streams_add(struct ptf_aux_streams *streams, const struct ptf_aux_chunk *chunks,
        size_t n, struct ptf_error *err);

/* Notes from PERF_RECORD_AUX that data was lost behind `aux_offset` in the stream of tid or cpu. */
int ptf_aux_streams_break(struct ptf_aux_streams *streams, int32_t tid, int32_t cpu,
        uint64_t aux_offset, struct ptf_error *err);

/* Cuts all streams into segments. */
int ptf_aux_streams_cut(struct ptf_aux_streams *streams, const struct ptf_clock_params *clock,
        struct ptf_error *err);

/* The bytes of a segment: inside a chunk, or copied to *scratch (grown by realloc, owned by the
 * caller). NULL when out of memory. */
struct ptf_scratch {
	uint8_t *bytes; /* owned */
	size_t cap;     /* bytes */
};
const uint8_t *ptf_aux_segment_bytes(const struct ptf_aux_streams *streams,
        const struct ptf_aux_segment *segment, struct ptf_scratch *scratch);

#endif
