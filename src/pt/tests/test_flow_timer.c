/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pt/flow_timer.h"
#include "pt/pt_clock.h"

static const struct ptf_flow_item call = {.kind = PTF_FLOW_CALL, .time_ns = PTF_NO_TIME};

static void add_after(struct ptf_flow_timer *timer, uint64_t insns)
{
	ptf_flow_timer_retire(timer, insns);
	assert_true(ptf_flow_timer_add(timer, &call));
}

static void expect(struct ptf_flow_timer *timer, uint64_t insns, uint64_t ns)
{
	const struct ptf_flow_item *item = ptf_flow_timer_next(timer);

	assert_non_null(item);
	assert_int_equal(item->insns, insns);
	assert_int_equal(item->time_ns, ns);
}

static void time_is_shared_by_instructions(void **state)
{
	struct ptf_anchor_distances distances = {0};
	struct ptf_flow_timer timer = {0};

	ptf_flow_timer_begin(&timer, &distances);
	ptf_flow_timer_anchor(&timer, 0, 1000);
	add_after(&timer, 10);
	add_after(&timer, 30);
	assert_null(ptf_flow_timer_next(&timer));
	ptf_flow_timer_retire(&timer, 60);
	ptf_flow_timer_anchor(&timer, 100, 2000);
	expect(&timer, 10, 1100);
	expect(&timer, 30, 1400);
	assert_null(ptf_flow_timer_next(&timer));
	/* Items behind an anchor wait for the next one, however many anchors lie at one place. */
	add_after(&timer, 0);
	ptf_flow_timer_anchor(&timer, 100, 2500);
	expect(&timer, 60, 2500);
	add_after(&timer, 5);
	ptf_flow_timer_flush(&timer);
	expect(&timer, 5, 2500);
	assert_int_equal(ptf_anchor_distances_median(&distances), 992); /* 1000's bucket */
	ptf_flow_timer_release(&timer);
}

static void time_never_runs_back(void **state)
{
	struct ptf_anchor_distances distances = {0};
	struct ptf_flow_timer timer = {0};

	ptf_flow_timer_begin(&timer, &distances);
	ptf_flow_timer_anchor(&timer, 0, 1000);
	add_after(&timer, 10);
	ptf_flow_timer_anchor(&timer, 10, 900);
	expect(&timer, 10, 1000);
	add_after(&timer, 10);
	ptf_flow_timer_anchor(&timer, 20, UINT64_MAX - 1); /* no overflow on the way */
	expect(&timer, 10, UINT64_MAX - 1);
	ptf_flow_timer_release(&timer);
}

static void without_anchors_there_is_no_time(void **state)
{
	struct ptf_anchor_distances distances = {0};
	struct ptf_flow_timer timer = {0};

	ptf_flow_timer_begin(&timer, &distances);
	add_after(&timer, 3);
	ptf_flow_timer_anchor(&timer, 3, PTF_NO_TIME);
	assert_null(ptf_flow_timer_next(&timer));
	ptf_flow_timer_flush(&timer);
	expect(&timer, 3, PTF_NO_TIME);
	/* Before the first anchor nothing is known: its time is taken. */
	add_after(&timer, 3);
	ptf_flow_timer_anchor(&timer, 6, 70);
	expect(&timer, 3, 70);
	ptf_flow_timer_release(&timer);
}

static void feed(struct ptf_clock *clock, struct ptf_packet packet)
{
	ptf_clock_packet(clock, &packet);
}

/* SDM, "Timing packets": 8 TSC ticks for a CTC tick, MTC every 4 CTC ticks, 2 TSC ticks a cycle. */
static void clock_follows_the_packets(void **state)
{
	const struct ptf_clock_params params = {.time_shift = 1,
	        .time_mult = 1,
	        .time_zero = 5000,
	        .mtc_shift = 2,
	        .tsc_ctc_n = 8,
	        .tsc_ctc_d = 1,
	        .max_nonturbo_ratio = 20};
	struct ptf_clock clock;

	ptf_clock_init(&clock, &params);
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_MTC, .mtc = 9});
	assert_int_equal(ptf_clock_ns(&clock), PTF_NO_TIME);
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_TSC, .payload = 10000});
	assert_int_equal(ptf_clock_ns(&clock), 5000 + 10000 / 2);
	/* CTC 0x105: one tick behind the edge of MTC 0x41; 4 TSC ticks into the tick. */
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_TMA, .ctc = 0x105, .fc = 4});
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_CBR, .cbr = 10});
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_CYC, .payload = 3});
	assert_int_equal(clock.tsc, 10006);
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_MTC, .mtc = 0x42});
	assert_int_equal(clock.tsc, 10000 - 4 - 8 + 4 * 8);
	/* CYC counts from the MTC on; MTC counters wrap. */
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_CYC, .payload = 5});
	assert_int_equal(clock.tsc, 10000 - 4 - 8 + 4 * 8 + 10);
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_MTC, .mtc = 0x41});
	assert_int_equal(clock.tsc, 10000 - 4 - 8 + 256 * 4 * 8);
	/* CYC ran ahead of the next MTC: time stands, it does not go back. */
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_CYC, .payload = 100});
	feed(&clock, (struct ptf_packet){.kind = PTF_PACKET_MTC, .mtc = 0x42});
	assert_int_equal(clock.tsc, 10000 - 4 - 8 + 256 * 4 * 8 + 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(time_is_shared_by_instructions),
	        cmocka_unit_test(time_never_runs_back),
	        cmocka_unit_test(without_anchors_there_is_no_time),
	        cmocka_unit_test(clock_follows_the_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
