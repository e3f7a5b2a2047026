/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "pt/aux_stream.h"
#include "pt/flow_item.h"
#include "pt/pt_packet.h"

enum {
	PSB_SIZE = 16,
	CHUNK_FILL = 8,
	MAX_PSB_PLUS = 256, /* bytes: the SDM's PSB+ packets need less than 100 */
};

void ptf_aux_streams_release(struct ptf_aux_streams *streams)
{
	ptf_vec_foreach (stream, &streams->streams) {
		ptf_vec_release(&stream->chunks);
		ptf_vec_release(&stream->breaks);
		ptf_vec_release(&stream->stops);
	}
	ptf_vec_release(&streams->streams);
	ptf_vec_release(&streams->segments);
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for AUX streams");
}

static struct ptf_aux_stream *stream_of(
        struct ptf_aux_streams *streams, const struct ptf_aux_chunk *chunk)
{
	struct ptf_aux_stream stream = {.idx = chunk->idx, .tid = chunk->tid, .cpu = chunk->cpu};

	ptf_vec_foreach (old, &streams->streams) {
		if (old->idx == chunk->idx && old->tid == chunk->tid && old->cpu == chunk->cpu)
			return old;
	}
	return ptf_vec_push(&streams->streams, stream) ? &streams->streams.v[streams->streams.n - 1]
	                                               : NULL;
}

/* Appends a chunk; what it repeats of the one before (snapshots overlap) is left out. */
static int append_chunk(
        struct ptf_aux_stream *stream, struct ptf_aux_chunk chunk, struct ptf_error *err)
{
	struct ptf_aux_chunk *last =
	        stream->chunks.n ? &stream->chunks.v[stream->chunks.n - 1] : NULL;
	uint64_t end = last ? last->aux_offset + last->size : 0;

	if (chunk.aux_offset > UINT64_MAX - chunk.size)
		return 0;
	/* perf fills chunks up to multiples of 8 bytes: what was filled up is not trace. */
	if (last && chunk.aux_offset < end && end - chunk.aux_offset < CHUNK_FILL &&
	        end - chunk.aux_offset < last->size) {
		stream->size -= end - chunk.aux_offset;
		last->size -= end - chunk.aux_offset;
		end = chunk.aux_offset;
	}
	if (last && chunk.aux_offset < end) {
		uint64_t repeated = end - chunk.aux_offset;

		if (repeated >= chunk.size)
			return 0;
		chunk.bytes += repeated;
		chunk.size -= repeated;
		chunk.aux_offset = end;
	}
	if (!chunk.size)
		return 0;
	if (last && chunk.aux_offset > end)
		stream->lost_bytes += chunk.aux_offset - end;
	stream->size += chunk.size;
	return ptf_vec_push(&stream->chunks, chunk) ? 0 : no_memory(err);
}

int ptf_aux_streams_add(struct ptf_aux_streams *streams, const struct ptf_aux_chunk *chunks,
        size_t n, struct ptf_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		struct ptf_aux_stream *stream = stream_of(streams, &chunks[i]);

		rc = stream ? append_chunk(stream, chunks[i], err) : no_memory(err);
	}
	return rc;
}

int ptf_aux_streams_break(struct ptf_aux_streams *streams, int32_t tid, int32_t cpu,
        uint64_t aux_offset, struct ptf_error *err)
{
	ptf_vec_foreach (stream, &streams->streams) {
		if (stream->cpu >= 0 ? stream->cpu != cpu : stream->tid != tid)
			continue;
		if (!ptf_vec_push(&stream->breaks, aux_offset))
			return no_memory(err);
	}
	return 0;
}

/* ---- cutting ---- */

/* AUX offsets of PSBs, in order; `cut` where nothing before it may be joined to it. */
struct psb_mark {
	uint64_t aux_offset;
	bool cut;
};

PTF_VEC_TYPEDEF(psb_marks, struct psb_mark);

/* Index of the first chunk that ends behind an offset. */
static size_t chunk_at(const struct ptf_aux_stream *stream, uint64_t aux_offset)
{
	size_t low = 0, high = stream->chunks.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ptf_aux_chunk *chunk = &stream->chunks.v[middle];

		if (chunk->aux_offset + chunk->size > aux_offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void copy_bytes(
        const struct ptf_aux_stream *stream, uint64_t aux_offset, uint64_t size, uint8_t *out)
{
	for (size_t i = chunk_at(stream, aux_offset); i < stream->chunks.n && size; i++) {
		const struct ptf_aux_chunk *chunk = &stream->chunks.v[i];
		uint64_t skip, part;

		if (aux_offset < chunk->aux_offset)
			return;
		skip = aux_offset - chunk->aux_offset;
		part = chunk->size - skip < size ? chunk->size - skip : size;
		memcpy(out, chunk->bytes + skip, part);
		out += part;
		aux_offset += part;
		size -= part;
	}
}

static bool mark_all(
        const uint8_t *bytes, uint64_t size, uint64_t aux_offset, struct psb_marks *marks)
{
	const uint8_t *end = bytes + size, *at = bytes;

	while ((at = ptf_packet_find_psb(at, end))) {
		struct psb_mark mark = {.aux_offset = aux_offset + (uint64_t)(at - bytes)};

		if (!ptf_vec_push(marks, mark))
			return false;
		at += PSB_SIZE;
	}
	return true;
}

/* PSBs that begin in one chunk and end in the next, which follows it without a gap. */
static bool mark_border(const struct ptf_aux_stream *stream, size_t i, struct psb_marks *marks)
{
	const struct ptf_aux_chunk *left = &stream->chunks.v[i], *right = left + 1;
	uint8_t bytes[2 * (PSB_SIZE - 1)];
	uint64_t before, after;

	if (i + 1 >= stream->chunks.n || left->aux_offset + left->size != right->aux_offset)
		return true;
	before = left->size < PSB_SIZE - 1 ? left->size : PSB_SIZE - 1;
	after = right->size < PSB_SIZE - 1 ? right->size : PSB_SIZE - 1;
	memcpy(bytes, left->bytes + left->size - before, before);
	memcpy(bytes + before, right->bytes, after);
	return mark_all(bytes, before + after, right->aux_offset - before, marks);
}

static int compare_marks(const void *a, const void *b)
{
	const struct psb_mark *x = a, *y = b;

	return x->aux_offset < y->aux_offset ? -1 : x->aux_offset > y->aux_offset;
}

/* End of the contiguous bytes that begin at `from`: the first stop behind it. */
static uint64_t run_end(const struct ptf_aux_stream *stream, uint64_t from)
{
	size_t low = 0, high = stream->stops.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stream->stops.v[middle] > from)
			high = middle;
		else
			low = middle + 1;
	}
	return low < stream->stops.n ? stream->stops.v[low] : from;
}

static int add_segment(struct ptf_aux_streams *streams, uint32_t index, const struct psb_mark *mark,
        uint64_t next, uint64_t number, struct ptf_error *err)
{
	const struct ptf_aux_stream *stream = &streams->streams.v[index];
	struct ptf_aux_segment segment = {.stream = index,
	        .number = (uint32_t)number,
	        .aux_offset = mark->aux_offset,
	        .gap_before = mark->cut,
	        .start_ns = PTF_NO_TIME};
	uint64_t end = run_end(stream, mark->aux_offset);
	uint8_t bytes[MAX_PSB_PLUS];
	struct ptf_psb_plus plus;
	uint64_t left;

	left = end - mark->aux_offset < sizeof(bytes) ? end - mark->aux_offset : sizeof(bytes);
	copy_bytes(stream, mark->aux_offset, left, bytes);
	ptf_psb_plus_read(&plus, streams->clock, bytes, left);
	segment.start_ns = plus.ns;
	segment.lit = plus.ip != PTF_NO_IP && !plus.stale_fup;
	if (next >= end) {
		segment.size = segment.next_psb = end - mark->aux_offset;
	} else {
		left = end - next < sizeof(bytes) ? end - next : sizeof(bytes);
		copy_bytes(stream, next, left, bytes);
		ptf_psb_plus_read(&plus, streams->clock, bytes, left);
		segment.next_psb = next - mark->aux_offset;
		segment.size = segment.next_psb + plus.size;
	}
	return ptf_vec_push(&streams->segments, segment) ? 0 : no_memory(err);
}

static int compare_offsets(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Where contiguous bytes end: at gaps between chunks, at the end, and where a record says that data
 * was lost, unless the stream itself tells of it there (OVF): the decoder goes on over that. */
static bool find_stops(struct ptf_aux_stream *stream)
{
	for (size_t i = 0; i < stream->breaks.n; i++) {
		uint8_t bytes[2] = {0};

		copy_bytes(stream, stream->breaks.v[i], sizeof(bytes), bytes);
		if ((bytes[0] != 0x02 || bytes[1] != 0xf3) &&
		        !ptf_vec_push(&stream->stops, stream->breaks.v[i]))
			return false;
	}
	for (size_t i = 0; i < stream->chunks.n; i++) {
		const struct ptf_aux_chunk *chunk = &stream->chunks.v[i];
		uint64_t end = chunk->aux_offset + chunk->size;

		if ((i + 1 == stream->chunks.n || chunk[1].aux_offset != end) &&
		        !ptf_vec_push(&stream->stops, end))
			return false;
	}
	if (stream->stops.n)
		qsort(stream->stops.v, stream->stops.n, sizeof(uint64_t), compare_offsets);
	return true;
}

/* A PSB at the border of chunks may have been found in the left one, too, some bytes early. */
static void drop_overlapping(struct psb_marks *marks)
{
	size_t n = 0;

	for (size_t i = 0; i < marks->n; i++) {
		if (i + 1 < marks->n &&
		        marks->v[i + 1].aux_offset - marks->v[i].aux_offset < PSB_SIZE)
			continue;
		marks->v[n++] = marks->v[i];
	}
	marks->n = n;
}

static int cut_stream(struct ptf_aux_streams *streams, uint32_t index, struct psb_marks *marks,
        struct ptf_error *err)
{
	struct ptf_aux_stream *stream = &streams->streams.v[index];
	uint64_t last = stream->chunks.n ? stream->chunks.v[0].aux_offset : 0;
	int rc = 0;

	if (!find_stops(stream))
		return no_memory(err);
	for (size_t i = 0; i < stream->chunks.n; i++) {
		const struct ptf_aux_chunk *chunk = &stream->chunks.v[i];

		if (!mark_all(chunk->bytes, chunk->size, chunk->aux_offset, marks) ||
		        !mark_border(stream, i, marks))
			return no_memory(err);
	}
	if (marks->n)
		qsort(marks->v, marks->n, sizeof(*marks->v), compare_marks);
	drop_overlapping(marks);
	if (!marks->n || marks->v[0].aux_offset > last)
		stream->lost_bytes += marks->n ? marks->v[0].aux_offset - last : stream->size;
	for (size_t i = 0; i < marks->n && rc == 0; i++) {
		uint64_t next = i + 1 < marks->n ? marks->v[i + 1].aux_offset : UINT64_MAX;

		marks->v[i].cut =
		        i && run_end(stream, marks->v[i - 1].aux_offset) <= marks->v[i].aux_offset;
		rc = add_segment(streams, index, &marks->v[i], next, i, err);
	}
	return rc;
}

int ptf_aux_streams_cut(struct ptf_aux_streams *streams, const struct ptf_clock_params *clock,
        struct ptf_error *err)
{
	struct psb_marks marks = {0};
	int rc = 0;

	streams->clock = clock;
	for (uint32_t i = 0; i < streams->streams.n && rc == 0; i++) {
		marks.n = 0;
		rc = cut_stream(streams, i, &marks, err);
	}
	ptf_vec_release(&marks);
	return rc;
}

const uint8_t *ptf_aux_segment_bytes(const struct ptf_aux_streams *streams,
        const struct ptf_aux_segment *segment, struct ptf_scratch *scratch)
{
	const struct ptf_aux_stream *stream = &streams->streams.v[segment->stream];

	size_t i = chunk_at(stream, segment->aux_offset);

	if (i < stream->chunks.n) {
		const struct ptf_aux_chunk *chunk = &stream->chunks.v[i];
		uint64_t skip = segment->aux_offset - chunk->aux_offset;

		if (segment->aux_offset >= chunk->aux_offset && chunk->size - skip >= segment->size)
			return chunk->bytes + skip;
	}
	if (scratch->cap < segment->size) {
		uint8_t *grown = realloc(scratch->bytes, segment->size);

		if (!grown)
			return NULL;
		scratch->bytes = grown;
		scratch->cap = segment->size;
	}
	copy_bytes(stream, segment->aux_offset, segment->size, scratch->bytes);
	return scratch->bytes;
}
