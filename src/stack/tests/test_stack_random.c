/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack machine survives any flow: items of random kinds between a few places of a few
 * functions, whole and cut into segments at random. Whatever the items say, every instant, every
 * instruction and every call is booked once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stack/tests/stack_scripts.h"

enum { RUNS = 4000, ITEMS = 300, STEP_NS = 5, START_NS = 1000 };

static const char *const names[] = {
        "main", "a", "b", "c", "handler", "restorer", "switch", "task", "setjmp", "resume"};

/* xorshift64: the same numbers everywhere. */
static uint64_t state;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % n;
}

static const struct ptf_function *some_function(void)
{
	return script_function(names[below(sizeof(names) / sizeof(names[0]))]);
}

/* Few places, so that returns, labels and parked stacks are often hit. */
static uint64_t some_offset(void)
{
	return below(3) ? 0x10 * (1 + below(3)) : 0;
}

static void go_to(struct ptf_flow_item *item)
{
	const struct ptf_function *function = some_function();
	uint64_t offset = some_offset();

	if (!below(20))
		return; /* not known */
	item->to_function = function;
	item->to = function->address + offset;
	item->mid_entry = offset != 0;
}

static struct ptf_flow_item some_item(uint64_t time_ns)
{
	/* Mostly what real flows are made of; SYNC is the first of a segment only. */
	static const uint8_t kinds[] = {PTF_FLOW_CALL, PTF_FLOW_CALL, PTF_FLOW_CALL, PTF_FLOW_CALL,
	        PTF_FLOW_RETURN, PTF_FLOW_RETURN, PTF_FLOW_RETURN, PTF_FLOW_RETURN, PTF_FLOW_JUMP,
	        PTF_FLOW_JUMP, PTF_FLOW_OFF, PTF_FLOW_ON, PTF_FLOW_ASYNC, PTF_FLOW_LOST};
	struct ptf_flow_item item = {.kind = kinds[below(sizeof(kinds))],
	        .insns = below(5),
	        .from = PTF_NO_IP,
	        .to = PTF_NO_IP,
	        .time_ns = below(10) ? time_ns : PTF_NO_TIME};

	if (item.kind != PTF_FLOW_OFF)
		go_to(&item);
	if (below(8)) {
		item.from_function = some_function();
		item.from = item.from_function->address + 0x10 * (1 + below(3));
	}
	if (item.kind == PTF_FLOW_CALL && item.from != PTF_NO_IP) {
		item.insn_size = (uint8_t)(below(6) ? SCRIPT_CALL_SIZE : 0);
		item.from -= SCRIPT_CALL_SIZE;
	}
	if (item.kind == PTF_FLOW_OFF || item.kind == PTF_FLOW_JUMP || !below(30))
		item.cause = (uint8_t)below(PTF_CAUSE_INDIRECT + 1);
	return item;
}

struct run {
	struct ptf_stack_rule_counts rules;
	struct ptf_stitch stitch;
	struct ptf_fragment_builder builder;
	uint64_t insns, calls;
};

static void end_segment(struct run *run, bool gap_before)
{
	struct ptf_fragment *fragment;
	int rc;

	fragment = ptf_fragment_builder_end(&run->builder, &rc);
	assert_int_equal(rc, 0);
	if (!fragment)
		return;
	fragment->gap_before = gap_before;
	assert_int_equal(ptf_stitch_add(&run->stitch, fragment), 0);
	ptf_fragment_destroy(fragment);
}

/* A new segment begins before the item, perhaps with a SYNC of its own. */
static void cut(struct run *run, const struct ptf_thread_timeline *life, uint64_t time_ns)
{
	struct ptf_flow_item sync = {
	        .kind = PTF_FLOW_SYNC, .from = PTF_NO_IP, .to = PTF_NO_IP, .time_ns = time_ns};

	end_segment(run, !below(10));
	assert_int_equal(ptf_fragment_builder_begin(&run->builder, 1, 1, life), 0);
	go_to(&sync);
	if (below(4))
		assert_int_equal(ptf_fragment_builder_add(&run->builder, &sync), 0);
}

static void count(struct run *run, const struct ptf_flow_item *item)
{
	run->insns += item->insns;
	run->calls += item->kind == PTF_FLOW_CALL && item->to_function;
}

/* Everything is somewhere in the tree. */
static void check_sums(const struct run *run, const struct ptf_thread_timeline *life)
{
	const struct ptf_call_node *root = &run->stitch.tree.root, *node;
	uint64_t wall = 0, insns = 0, calls = 0;
	unsigned up;

	for (node = root; node; node = ptf_call_node_next(root, node, &up)) {
		uint64_t states[PTF_STATES];

		ptf_call_node_states(node, states);
		for (unsigned i = 0; i < PTF_STATES; i++)
			wall += states[i];
		insns += node->insns;
		calls += node->calls - node->jump_calls;
	}
	assert_int_equal(wall, life->end_ns - life->start_ns);
	assert_int_equal(insns, run->insns);
	assert_int_equal(calls, run->calls);
}

static void run_random(uint64_t seed, bool cuts)
{
	static const struct ptf_off_span spans[] = {
	        {1100, 1150, PTF_OFF_BLOCKED}, {1500, 1900, PTF_OFF_PREEMPTED}};
	const struct ptf_thread_timeline life = {.pid = 1,
	        .tid = 1,
	        .comm = "random",
	        .start_ns = START_NS - 20,
	        .end_ns = START_NS + STEP_NS * ITEMS,
	        .off = spans,
	        .n_off = 2};
	struct run run = {0};

	state = seed * 0x9e3779b97f4a7c15u + 1;
	assert_int_equal(ptf_stitch_init(&run.stitch, &life, &run.rules), 0);
	ptf_fragment_builder_init(&run.builder, &run.rules);
	for (unsigned i = 0; i < ITEMS; i++) {
		uint64_t time_ns = START_NS + STEP_NS * i;
		struct ptf_flow_item item = some_item(time_ns);

		count(&run, &item);
		if (!cuts) {
			assert_int_equal(ptf_stitch_item(&run.stitch, &item), 0);
			continue;
		}
		if (i == 0 || !below(15))
			cut(&run, &life, time_ns);
		assert_int_equal(ptf_fragment_builder_add(&run.builder, &item), 0);
	}
	if (cuts)
		end_segment(&run, false);
	assert_int_equal(ptf_stitch_finish(&run.stitch), 0);
	check_sums(&run, &life);
	ptf_fragment_builder_release(&run.builder);
	ptf_stitch_release(&run.stitch);
}

static void test_whole(void **unused)
{
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run_random(seed, false);
}

static void test_cut(void **unused)
{
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run_random(seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_whole),
	        cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
