/* SPDX-License-Identifier: BSD-2-Clause */
/* Cutting streams into segments: the same bytes in one chunk or in many must give the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pt/aux_stream.h"

enum { SIZE = 4096, PSB_EVERY = 500, MAX_CHUNKS = 64 };

static const struct ptf_clock_params clock_params;

/* PADs with a PSB, a PSBEND behind it, at every PSB_EVERY bytes from `first`; others are TNTs. */
static void fill(uint8_t *bytes, size_t first)
{
	static const uint8_t psb_plus[18] = {
	        2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 0x02, 0x23};

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(4 + 2 * (i % 100));
	for (size_t at = first; at + sizeof(psb_plus) <= SIZE; at += PSB_EVERY)
		memcpy(bytes + at, psb_plus, sizeof(psb_plus));
}

static struct ptf_aux_chunk chunk_of(const uint8_t *bytes, size_t from, size_t to)
{
	return (struct ptf_aux_chunk){
	        .bytes = bytes + from, .size = to - from, .aux_offset = from, .tid = 7, .cpu = -1};
}

static void cut(struct ptf_aux_streams *streams, const struct ptf_aux_chunk *chunks, size_t n)
{
	*streams = (struct ptf_aux_streams){0};
	assert_int_equal(ptf_aux_streams_add(streams, chunks, n, NULL), 0);
}

static void check_whole(const uint8_t *bytes, const struct ptf_aux_chunk *chunks, size_t n)
{
	struct ptf_aux_streams streams;
	struct ptf_scratch scratch = {0};
	uint64_t at = 100;

	cut(&streams, chunks, n);
	assert_int_equal(ptf_aux_streams_cut(&streams, &clock_params, NULL), 0);
	assert_int_equal(streams.streams.n, 1);
	assert_int_equal(streams.streams.v[0].size, SIZE);
	assert_int_equal(streams.streams.v[0].lost_bytes, 100);
	assert_int_equal(streams.segments.n, 8);
	ptf_vec_foreach (segment, &streams.segments) {
		bool last = at + PSB_EVERY > SIZE;
		const uint8_t *got = ptf_aux_segment_bytes(&streams, segment, &scratch);

		assert_int_equal(segment->aux_offset, at);
		assert_int_equal(segment->next_psb, last ? SIZE - at : PSB_EVERY);
		assert_int_equal(segment->size, last ? SIZE - at : PSB_EVERY + 18);
		assert_false(segment->gap_before);
		assert_memory_equal(got, bytes + at, segment->size);
		at += PSB_EVERY;
	}
	free(scratch.bytes);
	ptf_aux_streams_release(&streams);
}

static void chunks_make_no_difference(void **state)
{
	struct ptf_aux_chunk chunks[MAX_CHUNKS];
	uint8_t bytes[SIZE];

	fill(bytes, 100);
	chunks[0] = chunk_of(bytes, 0, SIZE);
	check_whole(bytes, chunks, 1);
	/* Every border, also in the middle of a PSB. */
	for (size_t border = 1; border < SIZE; border++) {
		chunks[0] = chunk_of(bytes, 0, border);
		chunks[1] = chunk_of(bytes, border, SIZE);
		check_whole(bytes, chunks, 2);
	}
	for (size_t i = 0; i < MAX_CHUNKS; i++)
		chunks[i] = chunk_of(bytes, i * SIZE / MAX_CHUNKS, (i + 1) * SIZE / MAX_CHUNKS);
	check_whole(bytes, chunks, MAX_CHUNKS);
}

static void what_is_repeated_or_filled_up_is_left_out(void **state)
{
	struct ptf_aux_chunk chunks[2];
	uint8_t bytes[SIZE], filled[1008];

	fill(bytes, 100);
	/* A snapshot that begins in the one before it. */
	chunks[0] = chunk_of(bytes, 0, 2000);
	chunks[1] = chunk_of(bytes, 1500, SIZE);
	check_whole(bytes, chunks, 2);
	/* A chunk filled up with zeros to a multiple of 8. */
	memset(filled, 0, sizeof(filled));
	memcpy(filled, bytes, 1003);
	chunks[0] = chunk_of(bytes, 0, 1008);
	chunks[0].bytes = filled;
	chunks[1] = chunk_of(bytes, 1003, SIZE);
	check_whole(bytes, chunks, 2);
}

static void gaps_cut_segments(void **state)
{
	struct ptf_aux_streams streams;
	struct ptf_aux_chunk chunks[2];
	uint8_t bytes[SIZE];

	fill(bytes, 0);
	chunks[0] = chunk_of(bytes, 0, 700);
	chunks[1] = chunk_of(bytes, 1200, SIZE);
	cut(&streams, chunks, 2);
	assert_int_equal(ptf_aux_streams_cut(&streams, &clock_params, NULL), 0);
	/* 0 to 500, 500 to the gap, then from 1500 on: what stands before its PSB is lost. */
	assert_int_equal(streams.segments.v[1].aux_offset, 500);
	assert_int_equal(streams.segments.v[1].size, 200);
	assert_int_equal(streams.segments.v[1].next_psb, 200);
	assert_int_equal(streams.segments.v[2].aux_offset, 1500);
	assert_true(streams.segments.v[2].gap_before);
	assert_false(streams.segments.v[3].gap_before);
	ptf_aux_streams_release(&streams);
}

static void check_break(uint8_t *bytes, bool told)
{
	struct ptf_aux_streams streams;
	struct ptf_aux_chunk chunk = chunk_of(bytes, 0, SIZE);

	cut(&streams, &chunk, 1);
	assert_int_equal(ptf_aux_streams_break(&streams, 7, -1, 700, NULL), 0);
	assert_int_equal(ptf_aux_streams_break(&streams, 8, -1, 900, NULL), 0);
	assert_int_equal(ptf_aux_streams_cut(&streams, &clock_params, NULL), 0);
	assert_int_equal(streams.segments.v[1].next_psb, told ? PSB_EVERY : 200);
	assert_int_equal(streams.segments.v[2].gap_before, !told);
	ptf_aux_streams_release(&streams);
}

static void breaks_cut_unless_the_stream_tells(void **state)
{
	uint8_t bytes[SIZE];

	fill(bytes, 0);
	check_break(bytes, false);
	memcpy(bytes + 700, "\x02\xf3", 2);
	check_break(bytes, true);
}

static void streams_are_kept_apart(void **state)
{
	struct ptf_aux_streams streams;
	struct ptf_aux_chunk chunks[3];
	uint8_t bytes[SIZE];

	fill(bytes, 0);
	chunks[0] = chunk_of(bytes, 0, 2048);
	chunks[1] = chunk_of(bytes, 0, SIZE);
	chunks[1].tid = 8;
	chunks[2] = chunk_of(bytes, 2048, SIZE);
	cut(&streams, chunks, 3);
	assert_int_equal(ptf_aux_streams_cut(&streams, &clock_params, NULL), 0);
	assert_int_equal(streams.streams.n, 2);
	assert_int_equal(streams.segments.n, 18);
	assert_int_equal(streams.segments.v[9].stream, 1);
	assert_int_equal(streams.segments.v[9].number, 0);
	ptf_aux_streams_release(&streams);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(chunks_make_no_difference),
	        cmocka_unit_test(what_is_repeated_or_filled_up_is_left_out),
	        cmocka_unit_test(gaps_cut_segments),
	        cmocka_unit_test(breaks_cut_unless_the_stream_tells),
	        cmocka_unit_test(streams_are_kept_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
