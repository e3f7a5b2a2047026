/* SPDX-License-Identifier: BSD-2-Clause */
/* Formats of tracepoints, whole and damaged, and samples by them. */
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "perfdata/perf_reader.h"
#include "sched/tracepoints.h"
#include "sched/tests/tracing_data.h"

static uint8_t data[TRACING_DATA_MAX];
static size_t data_size;

static struct ptf_tracepoints *make(void)
{
	struct ptf_tracepoints *made;

	data_size = tracing_data_make(data);
	made = ptf_tracepoints_create(data, data_size);
	assert_non_null(made);
	return made;
}

static struct ptf_tracepoint read_raw(const struct ptf_tracepoints *tracepoints, uint32_t type,
        uint64_t config, const uint8_t *raw, size_t size)
{
	/* Memory of its size, so that a sanitizer sees a read past its end. */
	uint8_t *copy = malloc(size + 1);
	struct ptf_perf_attr attr = {.type = type, .config = config};
	struct ptf_record record = {.type = PTF_RECORD_SAMPLE,
	        .sample = {.attr = &attr, .raw = copy, .raw_size = (uint32_t)size}};
	struct ptf_tracepoint point;

	assert_non_null(copy);
	copy = realloc(copy, size ? size : 1);
	memcpy(copy, raw, size);
	record.sample.raw = copy;
	point = ptf_tracepoints_read(tracepoints, &record);
	free(copy);
	return point;
}

static struct ptf_tracepoint read_switch(
        const struct ptf_tracepoints *tracepoints, int32_t prev, uint64_t state, int32_t next)
{
	uint8_t raw[SCHED_SWITCH_SIZE];

	sched_switch_raw(raw, prev, state, next);
	return read_raw(tracepoints, PERF_TYPE_TRACEPOINT, SCHED_SWITCH_ID, raw, sizeof(raw));
}

static void test_switch(void **state)
{
	struct ptf_tracepoints *t = make();
	struct ptf_tracepoint point = read_switch(t, 11, 1, 12);

	assert_int_equal(point.kind, PTF_TRACEPOINT_SWITCH);
	assert_int_equal(point.prev_tid, 11);
	assert_int_equal(point.next_tid, 12);
	assert_false(point.runnable);
	ptf_tracepoints_destroy(t);
}

/* R, S, D, killable D of old kernels, dead; R+ of Linux 4.14 and later, and of 3.x. */
static void test_states(void **state)
{
	static const struct {
		uint64_t prev_state;
		bool runnable;
	} cases[] = {{0, true}, {1, false}, {2, false}, {0x82, false}, {0x10, false}, {0x40, false},
	        {0x100, true}, {0x101, true}, {0x400, true}, {0x1000, true}};
	struct ptf_tracepoints *t = make();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		        read_switch(t, 11, cases[i].prev_state, 12).runnable, cases[i].runnable);
	ptf_tracepoints_destroy(t);
}

static void test_wakeups(void **state)
{
	static const uint16_t ids[] = {SCHED_WAKING_ID, SCHED_WAKEUP_ID, SCHED_WAKEUP_NEW_ID};
	struct ptf_tracepoints *t = make();
	uint8_t raw[SCHED_WAKING_SIZE];

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct ptf_tracepoint point;

		sched_waking_raw(raw, ids[i], 13);
		point = read_raw(t, PERF_TYPE_TRACEPOINT, ids[i], raw, sizeof(raw));
		assert_int_equal(point.kind, PTF_TRACEPOINT_WAKING);
		assert_int_equal(point.tid, 13);
	}
	ptf_tracepoints_destroy(t);
}

/* Other events, events of other types, data that ends early, no formats. */
static void test_others(void **state)
{
	struct ptf_tracepoints *t = make(), *none = ptf_tracepoints_create(NULL, 0);
	struct ptf_record without = {.type = PTF_RECORD_SAMPLE};
	uint8_t raw[SCHED_SWITCH_SIZE];

	sched_switch_raw(raw, 11, 0, 12);
	assert_int_equal(
	        read_raw(t, PERF_TYPE_TRACEPOINT, 1, raw, sizeof(raw)).kind, PTF_TRACEPOINT_OTHER);
	assert_int_equal(read_raw(t, PERF_TYPE_RAW, SCHED_SWITCH_ID, raw, sizeof(raw)).kind,
	        PTF_TRACEPOINT_OTHER);
	for (size_t size = 0; size < 60; size++)
		assert_int_equal(read_raw(t, PERF_TYPE_TRACEPOINT, SCHED_SWITCH_ID, raw, size).kind,
		        PTF_TRACEPOINT_OTHER);
	assert_int_equal(ptf_tracepoints_read(t, &without).kind, PTF_TRACEPOINT_OTHER);
	assert_non_null(none);
	assert_int_equal(read_switch(none, 11, 0, 12).kind, PTF_TRACEPOINT_OTHER);
	ptf_tracepoints_destroy(none);
	ptf_tracepoints_destroy(t);
}

/* Tracing data that is cut off anywhere: what stands before the cut is known. */
static void test_cut_off(void **state)
{
	struct ptf_tracepoints *t = make();
	bool known = false;

	ptf_tracepoints_destroy(t);
	for (size_t size = 0; size <= data_size; size++) {
		uint8_t *copy = malloc(size ? size : 1);
		bool now;

		assert_non_null(copy);
		memcpy(copy, data, size);
		t = ptf_tracepoints_create(copy, size);
		assert_non_null(t);
		now = read_switch(t, 11, 0, 12).kind == PTF_TRACEPOINT_SWITCH;
		assert_true(now || !known);
		known = now;
		ptf_tracepoints_destroy(t);
		free(copy);
	}
	assert_true(known);
}

/* Any byte may be wrong: nothing is read where nothing is. */
static void test_damaged(void **state)
{
	struct ptf_tracepoints *t = make();

	ptf_tracepoints_destroy(t);
	for (size_t at = 0; at < data_size; at++) {
		uint8_t right = data[at];

		data[at] ^= (uint8_t)(1u << at % 8);
		t = ptf_tracepoints_create(data, data_size);
		assert_non_null(t);
		read_switch(t, 11, 0, 12);
		ptf_tracepoints_destroy(t);
		data[at] = right;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_switch),
	        cmocka_unit_test(test_states),
	        cmocka_unit_test(test_wakeups),
	        cmocka_unit_test(test_others),
	        cmocka_unit_test(test_cut_off),
	        cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
