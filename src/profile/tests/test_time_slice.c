/* SPDX-License-Identifier: BSD-2-Clause */
/* Slices of time and choices of threads: bounds, which segments are decoded, who passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profile/slice_plan.h"
#include "profile/thread_filter.h"
#include "profile/time_slice.h"

/* ---- bounds ---- */

static void bounds_of_a_slice(void **state)
{
	struct ptf_slice_bounds bounds;
	uint64_t start = 1000, end = 2000;

	assert_int_equal(ptf_time_slice_clip(&(struct ptf_time_slice){100, 300}, true, &start, &end,
	                         &bounds, NULL),
	        0);
	assert_int_equal(start, 1100);
	assert_int_equal(end, 1300);
	assert_int_equal(bounds.from_ns, 1100);
	assert_int_equal(bounds.to_ns, 1300);
	assert_int_equal(bounds.decode_from_ns, 1100);
	start = 1000;
	assert_int_equal(
	        ptf_time_slice_clip(&(struct ptf_time_slice){100, 300, .whole_stacks = true}, true,
	                &start, &end, &bounds, NULL),
	        0);
	assert_int_equal(bounds.from_ns, 1100);
	assert_int_equal(bounds.decode_from_ns, 0);
}

/* What the trace holds outside of the window counts at its ends, in a slice as in the whole. */
static void open_ends_reach_beyond_the_window(void **state)
{
	static const struct ptf_time_slice open[] = {{0, 0}, {0, 1000}, {0, 5000}};
	struct ptf_slice_bounds bounds;

	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		uint64_t start = 1000, end = 2000;

		assert_int_equal(
		        ptf_time_slice_clip(&open[i], true, &start, &end, &bounds, NULL), 0);
		assert_int_equal(start, 1000);
		assert_int_equal(end, 2000);
		assert_int_equal(bounds.from_ns, 0);
		assert_int_equal(bounds.to_ns, UINT64_MAX);
	}
}

/* An instant leaves the window as it is, so that what goes on then is known to its end. */
static void an_instant_keeps_the_window(void **state)
{
	struct ptf_slice_bounds bounds;
	uint64_t start = 1000, end = 2000;
	struct ptf_time_slice at = ptf_time_slice_at(300);

	assert_int_equal(ptf_time_slice_clip(&at, true, &start, &end, &bounds, NULL), 0);
	assert_int_equal(start, 1000);
	assert_int_equal(end, 2000);
	assert_int_equal(bounds.from_ns, 0);
	assert_int_equal(bounds.to_ns, 1301);
	at = ptf_time_slice_at(1000);
	assert_int_equal(ptf_time_slice_clip(&at, true, &start, &end, &bounds, NULL), 0);
	assert_int_equal(bounds.to_ns, UINT64_MAX);
	at = ptf_time_slice_at(1001);
	assert_int_equal(ptf_time_slice_clip(&at, true, &start, &end, &bounds, NULL), -PTF_EINVAL);
}

static void slices_that_cannot_be(void **state)
{
	struct ptf_slice_bounds bounds;
	struct ptf_error err;
	uint64_t start = 1000, end = 2000;

	assert_int_equal(ptf_time_slice_clip(&(struct ptf_time_slice){1000, 0}, true, &start, &end,
	                         &bounds, &err),
	        -PTF_EINVAL);
	assert_int_equal(ptf_time_slice_clip(&(struct ptf_time_slice){0, 1}, false, &start, &end,
	                         &bounds, &err),
	        -PTF_EUNSUPPORTED);
	assert_int_equal(ptf_time_slice_clip(&(struct ptf_time_slice){0, 0}, false, &start, &end,
	                         &bounds, &err),
	        0);
}

/* ---- threads ---- */

static void add(struct ptf_timelines *t, struct ptf_record record)
{
	assert_int_equal(ptf_timelines_add(t, &record, NULL), 0);
}

static void name(struct ptf_timelines *t, uint64_t ns, int32_t tid, const char *comm)
{
	add(t, (struct ptf_record){.type = PTF_RECORD_COMM,
	               .sid = {.time_ns = ns, .has_time = true},
	               .comm = {.pid = 1, .tid = tid, .comm = comm}});
}

static void the_last_name_passes(void **state)
{
	struct ptf_timelines *t = ptf_timelines_create();
	struct ptf_thread_filter filter;
	struct ptf_error err;
	size_t n;

	name(t, 1, 11, "early");
	name(t, 2, 11, "late");
	name(t, 3, 12, "other");
	assert_int_equal(ptf_timelines_freeze(t, 0, 100, NULL), 0);
	assert_int_equal(ptf_thread_filter_init(&filter, 0, "late", t, &err), 0);
	assert_true(ptf_thread_filter_passes_tid(&filter, 11));
	assert_false(ptf_thread_filter_passes_tid(&filter, 12));
	assert_true(ptf_thread_filter_passes(&filter, &ptf_timelines_all(t, &n)[0]));
	assert_false(ptf_thread_filter_passes(&filter, &ptf_timelines_all(t, &n)[1]));
	ptf_thread_filter_release(&filter);

	assert_int_equal(ptf_thread_filter_init(&filter, 0, "early", t, &err), -PTF_ENODATA);
	assert_string_equal(err.msg, "no thread is named 'early'; there are 11 (late), 12 (other)");
	ptf_thread_filter_release(&filter);
	assert_int_equal(ptf_thread_filter_init(&filter, 12, "late", t, &err), -PTF_ENODATA);
	assert_string_equal(
	        err.msg, "no thread 12 is named 'late'; there are 11 (late), 12 (other)");
	ptf_thread_filter_release(&filter);
	ptf_timelines_destroy(t);
}

/* A message has room for some threads only; it says how many it leaves out. */
static void many_threads_are_counted(void **state)
{
	struct ptf_timelines *t = ptf_timelines_create();
	struct ptf_thread_filter filter;
	struct ptf_error err;
	const char *more;
	int shown = 0;

	for (int32_t tid = 100000; tid < 101000; tid++)
		name(t, 1, tid, "a name that is long");
	assert_int_equal(ptf_timelines_freeze(t, 0, 100, NULL), 0);
	assert_int_equal(ptf_thread_filter_init(&filter, 7, NULL, t, &err), -PTF_ENODATA);
	for (const char *at = err.msg; (at = strchr(at, '(')); at++)
		shown++;
	more = strstr(err.msg, " and ");
	assert_non_null(more);
	assert_true(shown > 5);
	assert_int_equal(shown + atoi(more + strlen(" and ")), 1000);
	assert_string_equal(more + strlen(more) - strlen(" more"), " more");
	ptf_thread_filter_release(&filter);
	ptf_timelines_destroy(t);
}

/* ---- which segments ---- */

enum { STREAMS = 2, SEGMENTS = 10, SEGMENT_NS = 100 };

/* Streams of CPUs 0 and 1, segments of 100 ns from 1000 ns on. */
static struct ptf_recording make_recording(uint64_t from_ns, uint64_t to_ns)
{
	struct ptf_recording r = {.timelines = ptf_timelines_create(), .timed = true};

	r.slice = (struct ptf_slice_bounds){from_ns, to_ns, from_ns};
	for (int32_t cpu = 0; cpu < STREAMS; cpu++) {
		struct ptf_aux_stream stream = {.tid = -1, .cpu = cpu};

		assert_true(ptf_vec_push(&r.streams.streams, stream));
		for (uint32_t i = 0; i < SEGMENTS; i++) {
			struct ptf_aux_segment segment = {.stream = (uint32_t)cpu,
			        .number = i,
			        .lit = true,
			        .start_ns = 1000 + i * SEGMENT_NS};

			assert_true(ptf_vec_push(&r.streams.segments, segment));
		}
	}
	return r;
}

static void release_recording(struct ptf_recording *r)
{
	ptf_vec_release(&r->streams.streams);
	ptf_vec_release(&r->streams.segments);
	ptf_timelines_destroy(r->timelines);
}

/* At ns the CPU switches from one thread to another. */
static void switches(struct ptf_recording *r, uint64_t ns, int32_t cpu, int32_t from, int32_t to)
{
	add(r->timelines, (struct ptf_record){.type = PTF_RECORD_SWITCH_CPU_WIDE,
	                          .sid = {.time_ns = ns,
	                                  .has_time = true,
	                                  .cpu = cpu,
	                                  .pid = from,
	                                  .tid = from},
	                          .sw = {.out = true, .next_prev_pid = to, .next_prev_tid = to}});
}

/* "0011100000 0000000000": which segments are needed. */
static void expect_needed(const struct ptf_slice_plan *plan, const char *expected)
{
	char text[STREAMS * (SEGMENTS + 1)];
	size_t at = 0;

	for (size_t i = 0; i < STREAMS * SEGMENTS; i++) {
		if (i == SEGMENTS)
			text[at++] = ' ';
		text[at++] = plan->needed[i] ? '1' : '0';
	}
	text[at] = '\0';
	assert_string_equal(text, expected);
}

static void check_plan(struct ptf_recording *r, const char *expected)
{
	struct ptf_slice_plan plan;

	assert_int_equal(ptf_timelines_freeze(r->timelines, r->slice.from_ns, 2000, NULL), 0);
	assert_int_equal(ptf_slice_plan_init(&plan, r), 0);
	expect_needed(&plan, expected);
	ptf_slice_plan_release(&plan);
	release_recording(r);
}

static void segments_that_reach_into_the_slice(void **state)
{
	struct ptf_recording r = make_recording(1250, 1450);

	check_plan(&r, "0011100000 0011100000");
	r = make_recording(0, UINT64_MAX);
	check_plan(&r, "1111111111 1111111111");
	/* A segment whose last item is at the slice's start. */
	r = make_recording(1300, 1400);
	check_plan(&r, "0011000000 0011000000");
	r = make_recording(1950, UINT64_MAX);
	check_plan(&r, "0000000001 0000000001");
}

static void all_of_a_trace_without_times(void **state)
{
	struct ptf_recording r = make_recording(0, UINT64_MAX);

	r.timed = false;
	ptf_vec_foreach (segment, &r.streams.segments)
		segment->start_ns = PTF_NO_TIME;
	check_plan(&r, "1111111111 1111111111");
}

static void a_dark_segment_needs_the_one_before(void **state)
{
	struct ptf_recording r = make_recording(1450, 1500);

	r.streams.segments.v[4].lit = r.streams.segments.v[3].lit = false;
	r.streams.segments.v[SEGMENTS].lit = false;
	check_plan(&r, "0011100000 0000100000");
}

static void the_gap_behind_the_slice(void **state)
{
	struct ptf_recording r = make_recording(1450, 1480);

	r.streams.segments.v[5].gap_before = true;
	check_plan(&r, "0000110000 0000100000");
}

/* Threads 1 and 2 ran on CPU 0 long before the slice, where the idle task runs now. */
static void segments_where_threads_ran_last(void **state)
{
	struct ptf_recording r = make_recording(1850, 1900);
	struct ptf_slice_plan plan;

	switches(&r, 1010, 0, 0, 1); /* 1: 1010..1020, 1320..1330, 1350..1360 */
	switches(&r, 1020, 0, 1, 2); /* 2: 1020..1030 */
	switches(&r, 1030, 0, 2, 0);
	switches(&r, 1320, 0, 0, 1);
	switches(&r, 1330, 0, 1, 0);
	switches(&r, 1350, 0, 0, 1);
	switches(&r, 1360, 0, 1, 0);
	assert_int_equal(ptf_timelines_freeze(r.timelines, 1850, 2000, NULL), 0);
	assert_int_equal(ptf_slice_plan_init(&plan, &r), 0);
	expect_needed(&plan, "1001000010 0000000010");
	/* What thread 1 did in the first segment is followed by something undecoded. */
	assert_true(ptf_slice_plan_since(&plan, 1) > 1010);
	assert_true(ptf_slice_plan_since(&plan, 1) <= 1320);
	assert_true(ptf_slice_plan_since(&plan, 1) <= 1350);
	assert_true(ptf_slice_plan_since(&plan, 2) <= 1020);
	assert_true(ptf_slice_plan_since(&plan, 3) <= 0);
	ptf_slice_plan_release(&plan);
	release_recording(&r);
}

/* Thread 1 went from CPU 0 to CPU 1 and came back: what it did on CPU 0 before is stale. */
static void a_thread_that_moved(void **state)
{
	struct ptf_recording r = make_recording(1850, 1900);
	struct ptf_slice_plan plan;

	switches(&r, 1810, 0, 0, 1);
	switches(&r, 1820, 0, 1, 0);
	switches(&r, 1825, 1, 0, 1);
	switches(&r, 1830, 1, 1, 0);
	switches(&r, 1840, 0, 0, 1);
	assert_int_equal(ptf_timelines_freeze(r.timelines, 1850, 2000, NULL), 0);
	assert_int_equal(ptf_slice_plan_init(&plan, &r), 0);
	expect_needed(&plan, "0000000010 0000000010");
	assert_true(ptf_slice_plan_since(&plan, 1) > 1810);
	assert_true(ptf_slice_plan_since(&plan, 1) <= 1840);
	ptf_slice_plan_release(&plan);
	release_recording(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bounds_of_a_slice),
	        cmocka_unit_test(open_ends_reach_beyond_the_window),
	        cmocka_unit_test(an_instant_keeps_the_window),
	        cmocka_unit_test(slices_that_cannot_be),
	        cmocka_unit_test(the_last_name_passes),
	        cmocka_unit_test(many_threads_are_counted),
	        cmocka_unit_test(segments_that_reach_into_the_slice),
	        cmocka_unit_test(all_of_a_trace_without_times),
	        cmocka_unit_test(a_dark_segment_needs_the_one_before),
	        cmocka_unit_test(the_gap_behind_the_slice),
	        cmocka_unit_test(segments_where_threads_ran_last),
	        cmocka_unit_test(a_thread_that_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
