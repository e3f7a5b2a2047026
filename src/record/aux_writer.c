/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record/aux_writer.h"

/* Large enough for few records, small enough that 1000 threads cost nothing. */
#define JOIN_BYTES (128u << 10)

void ptf_aux_writer_init(struct ptf_aux_writer *stream, int32_t pid, int32_t tid, bool spooled)
{
	*stream = (struct ptf_aux_writer){.pid = pid, .tid = tid, .spooled = spooled};
}

void ptf_aux_writer_release(struct ptf_aux_writer *stream)
{
	if (stream->spool_open)
		close(stream->spool_fd);
	ptf_vec_release(&stream->pending);
	ptf_vec_release(&stream->pieces);
	*stream = (struct ptf_aux_writer){0};
}

static int write_piece(const struct ptf_aux_writer *stream, const struct ptf_aux_target *target,
        const struct ptf_aux_piece *piece, const uint8_t *bytes, struct ptf_error *err)
{
	struct ptf_record aux = {
	        .type = PTF_RECORD_AUX,
	        .sid = {.time_ns = target->time_ns,
	                .id = target->event_id,
	                .pid = stream->pid,
	                .tid = stream->tid,
	                .cpu = -1,
	                .has_time = true},
	        .aux = {.aux_offset = piece->offset,
	                .aux_size = piece->size,
	                .flags = piece->flags},
	};
	struct ptf_aux_chunk chunk = {
	        .bytes = bytes,
	        .size = piece->size,
	        .aux_offset = piece->offset,
	        .reference =
	                target->time_ns ? target->time_ns : 1, /* perf skips a reference of 0 */
	        .idx = stream->idx,
	        .tid = stream->tid,
	        .cpu = -1,
	};
	struct ptf_record gap = aux;
	int rc = 0;

	/* The kernel flags the record in front of missing data: here that is one of no bytes. */
	if (piece->flags) {
		gap.aux.aux_size = 0;
		aux.aux.flags = 0;
		rc = ptf_perf_writer_record(target->writer, &gap, err);
	}
	if (rc == 0)
		rc = ptf_perf_writer_record(target->writer, &aux, err);
	return rc < 0 ? rc : ptf_perf_writer_auxtrace(target->writer, &chunk, err);
}

static int write_pending(
        struct ptf_aux_writer *stream, const struct ptf_aux_target *target, struct ptf_error *err)
{
	int rc;

	if (!stream->pending.n)
		return 0;
	stream->piece.size = stream->pending.n;
	rc = write_piece(stream, target, &stream->piece, stream->pending.v, err);
	stream->pending.n = 0;
	return rc;
}

int ptf_aux_writer_flush(
        struct ptf_aux_writer *stream, const struct ptf_aux_target *target, struct ptf_error *err)
{
	int rc = write_pending(stream, target, err);

	ptf_vec_release(&stream->pending);
	return rc;
}

static int open_spool(struct ptf_aux_writer *stream, struct ptf_error *err)
{
	char name[] = "/var/tmp/ptflame-aux-XXXXXX";

	stream->spool_fd = mkostemp(name, O_CLOEXEC);
	if (stream->spool_fd < 0)
		return ptf_error_set_errno(err, errno, "temporary file %s", name);
	unlink(name);
	stream->spool_open = true;
	return 0;
}

static int spool_bytes(
        struct ptf_aux_writer *stream, const uint8_t *bytes, size_t size, struct ptf_error *err)
{
	if (!stream->spool_open && open_spool(stream, err) < 0)
		return -PTF_EIO;
	while (size) {
		ssize_t n = write(stream->spool_fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return ptf_error_set_errno(err, errno, "temporary file in /var/tmp");
		if (n > 0) {
			stream->spool_bytes += (uint64_t)n;
			bytes += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int append_spool(struct ptf_aux_writer *stream, const struct ptf_aux_piece *piece,
        const uint8_t *bytes, struct ptf_error *err)
{
	struct ptf_aux_piece *last =
	        stream->pieces.n ? &stream->pieces.v[stream->pieces.n - 1] : NULL;

	if (last && !piece->flags && last->offset + last->size == piece->offset)
		last->size += piece->size;
	else if (!ptf_vec_push(&stream->pieces, *piece))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory for AUX data");
	return spool_bytes(stream, bytes, piece->size, err);
}

static int append_pending(struct ptf_aux_writer *stream, const struct ptf_aux_piece *piece,
        const uint8_t *bytes, struct ptf_error *err)
{
	if (!ptf_vec_reserve(&stream->pending, piece->size))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory for AUX data");
	if (!stream->pending.n)
		stream->piece = *piece;
	memcpy(stream->pending.v + stream->pending.n, bytes, piece->size);
	stream->pending.n += piece->size;
	return 0;
}

/* The piece with its offset in the thread's whole stream. */
static struct ptf_aux_piece place(struct ptf_aux_writer *stream, const struct ptf_aux_piece *told)
{
	struct ptf_aux_piece piece = *told;

	if (told->offset < stream->told_end)
		stream->base += stream->told_end;
	stream->told_end = told->offset + told->size;
	piece.offset += stream->base;
	return piece;
}

int ptf_aux_writer_append(struct ptf_aux_writer *stream, const struct ptf_aux_target *target,
        const struct ptf_aux_piece *told, const uint8_t *bytes, struct ptf_error *err)
{
	struct ptf_aux_piece placed, *piece = &placed;
	bool joins;
	int rc = 0;

	if (!told->size)
		return 0;
	placed = place(stream, told);
	joins = !piece->flags && stream->piece.offset + stream->pending.n == piece->offset &&
	        stream->pending.n + piece->size <= JOIN_BYTES;
	if (stream->spooled)
		return append_spool(stream, piece, bytes, err);
	if (stream->pending.n && !joins)
		rc = write_pending(stream, target, err);
	if (rc < 0)
		return rc;
	if (piece->size >= JOIN_BYTES / 2 && !stream->pending.n)
		return write_piece(stream, target, piece, bytes, err);
	return append_pending(stream, piece, bytes, err);
}

int ptf_aux_writer_write_spool(
        struct ptf_aux_writer *stream, const struct ptf_aux_target *target, struct ptf_error *err)
{
	uint8_t *bytes, *at;
	int rc = 0;

	if (!stream->spool_bytes)
		return 0;
	bytes = mmap(NULL, stream->spool_bytes, PROT_READ, MAP_PRIVATE, stream->spool_fd, 0);
	if (bytes == MAP_FAILED)
		return ptf_error_set_errno(err, errno, "temporary file in /var/tmp");
	at = bytes;
	for (size_t i = 0; i < stream->pieces.n && rc == 0; i++) {
		rc = write_piece(stream, target, &stream->pieces.v[i], at, err);
		at += stream->pieces.v[i].size;
	}
	munmap(bytes, stream->spool_bytes);
	return rc;
}
