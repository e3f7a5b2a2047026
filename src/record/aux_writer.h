/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AUX data of one thread on its way into a perf.data: small pieces are joined, so that the
 * file has few AUXTRACE records; or all of it waits in an unlinked file until the end.
 *
 * What is appended at once must end at the end of a packet, and records are cut there only: perf
 * cannot put packets together that two records share, and fills records up to multiples of 8 bytes.
 */
#ifndef PTF_AUX_WRITER_H
#define PTF_AUX_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/vec.h"
#include "perfdata/perf_writer.h"

/* A run of bytes without a gap. */
struct ptf_aux_piece {
	uint64_t offset; /* of its first byte in the thread's stream */
	uint64_t size;   /* bytes */
	uint64_t flags;  /* PTF_AUX_FLAG_*: data is missing before it */
};

struct ptf_aux_writer {
	int32_t pid, tid;
	uint32_t idx;      /* number of the stream in the file */
	uint64_t told_end; /* offset behind the bytes told last */
	uint64_t base;     /* what their offsets count from: a program executed anew begins at 0 */
	PTF_VEC(uint8_t) pending;   /* bytes of `piece` that are not written yet */
	struct ptf_aux_piece piece; /* the piece that `pending` holds */
	bool spooled;               /* everything waits in spool_fd */
	int spool_fd;               /* owned unlinked file, valid when `spool_open` */
	bool spool_open;
	uint64_t spool_bytes;                 /* bytes in it */
	PTF_VEC(struct ptf_aux_piece) pieces; /* of the spool, in order */
};

/* Where the data goes: ids and times of the records around it. */
struct ptf_aux_target {
	struct ptf_perf_writer *writer; /* borrowed */
	uint64_t event_id;              /* of the PT event */
	uint64_t time_ns;               /* of the PERF_RECORD_AUX; also AUXTRACE's reference */
};

void ptf_aux_writer_init(struct ptf_aux_writer *stream, int32_t pid, int32_t tid, bool spooled);
void ptf_aux_writer_release(struct ptf_aux_writer *stream);

/* Takes the bytes at `piece->offset`. */
int ptf_aux_writer_append(struct ptf_aux_writer *stream, const struct ptf_aux_target *target,
        const struct ptf_aux_piece *piece, const uint8_t *bytes, struct ptf_error *err);

/* Writes what is pending and gives its memory back; nothing when spooled. */
int ptf_aux_writer_flush(
        struct ptf_aux_writer *stream, const struct ptf_aux_target *target, struct ptf_error *err);

/* Writes the spooled data, in records that depend on the data alone: one for each piece. */
int ptf_aux_writer_write_spool(
        struct ptf_aux_writer *stream, const struct ptf_aux_target *target, struct ptf_error *err);

#endif
