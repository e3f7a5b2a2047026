/* SPDX-License-Identifier: BSD-2-Clause */
/* The watched function: which calls are chosen, what of the tree is left, the slowest, places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "profile/calls_report.h"
#include "profile/tests/sample_profile.h"
#include "profile/watch.h"

enum { THREADS = 2 };

static struct ptf_profile *make_profile(void)
{
	struct ptf_profile *profile = sample_profile_make(THREADS);

	assert_true(ptf_function_table_watch(profile->functions, "f"));
	for (size_t i = 0; i < THREADS; i++) {
		sample_thread(profile, i, 100, (int)(101 + i), "worker", "server");
		sample_time(profile, i, sample_node(profile, i, "main"), PTF_TIME_ON, 1000);
	}
	return profile;
}

/* A call of f below main that took on + off ns, off in a system call of its callee g. */
static void add_call(
        struct ptf_profile *profile, size_t thread, uint64_t start_ns, uint64_t on, uint64_t off)
{
	const struct ptf_time_parts parts = {.ns = {on, 0, off}};
	const unsigned blocked = ptf_time_class_off(PTF_PLACE_SYSCALL, PTF_OFF_BLOCKED);
	struct ptf_profile_thread *t = &profile->threads[thread];
	struct ptf_call_node *main = sample_node(profile, thread, "main");
	struct ptf_call_node *f = ptf_call_tree_open(&t->tree, main, sample_function(profile, "f"));
	struct ptf_slow_call slow = {.start_ns = start_ns, .parts = parts, .node = f};
	struct ptf_call_node *g;

	assert_non_null(f);
	g = ptf_call_tree_child(&t->tree, f, sample_function(profile, "g"));
	assert_non_null(g);
	sample_call_of(profile, thread, f, &parts);
	sample_time(profile, thread, f, PTF_TIME_ON, on);
	sample_time(profile, thread, g, blocked, off);
	g->calls++;
	assert_true(ptf_slow_calls_add((struct ptf_slow_calls **)&t->slow, &t->tree, &slow));
	assert_true(
	        ptf_call_tree_close(&t->tree, f, PTF_SLICE_FIRST + ptf_latency_bucket(on + off)));
}

static void add_partial(struct ptf_profile *profile, size_t thread)
{
	struct ptf_profile_thread *t = &profile->threads[thread];
	struct ptf_call_node *f = ptf_call_tree_open(
	        &t->tree, sample_node(profile, thread, "main"), sample_function(profile, "f"));

	assert_non_null(f);
	f->partial_calls = 1;
	sample_time(profile, thread, f, PTF_TIME_LOST, 7);
	assert_true(ptf_call_tree_close(&t->tree, f, PTF_SLICE_UNTIMED));
}

static void check_choice(const struct ptf_profile *profile, enum ptf_watch_kind kind,
        double percent, uint64_t chosen, uint64_t wall_ns)
{
	const struct ptf_watch_choice choice = {kind, percent};
	struct ptf_profile_functions functions;
	struct ptf_watch_counts counts;
	struct ptf_profile *part;
	uint64_t wall = 0, calls = 0, self = 0;

	assert_int_equal(ptf_watch_choose(&part, profile, &choice, &counts, NULL), 0);
	assert_int_equal(counts.chosen, chosen);
	for (size_t i = 0; i < part->n_threads; i++)
		wall += ptf_states_sum(part->threads[i].states);
	assert_int_equal(wall, wall_ns);
	assert_true(ptf_profile_functions_init(&functions, part));
	for (size_t i = 0; i < functions.n; i++) {
		const struct ptf_profile_function *f = &functions.v[i];

		self += ptf_states_sum(f->self);
		if (strcmp(f->function->name, "f") == 0)
			calls = f->times.total.count + f->partial_calls;
		if (strcmp(f->function->name, "main") == 0)
			assert_int_equal(ptf_states_sum(f->self), 0);
	}
	assert_int_equal(self, wall_ns);
	assert_int_equal(calls, chosen);
	ptf_profile_functions_release(&functions);
	ptf_profile_destroy(part);
}

/* 100 calls of 1000, 1010, .. 1990 ns over two threads, and one partial. */
static void test_choice(void **state)
{
	struct ptf_profile *profile = make_profile();

	for (uint64_t i = 0; i < 100; i++)
		add_call(profile, i % THREADS, 5000 * i, 900, 100 + 10 * i);
	add_partial(profile, 0);
	check_choice(profile, PTF_WATCH_ALL, 0, 101, 149500 + 7);
	/* Buckets are 8 ns wide there, so each call has its own. */
	check_choice(profile, PTF_WATCH_SLOWEST, 1, 1, 1990);
	check_choice(profile, PTF_WATCH_SLOWEST, 0.5, 1, 1990);
	check_choice(profile, PTF_WATCH_SLOWEST, 2, 2, 1990 + 1980);
	check_choice(profile, PTF_WATCH_FASTEST, 98, 98, 149500 - 1990 - 1980);
	check_choice(profile, PTF_WATCH_SLOWEST, 100, 100, 149500);
	check_choice(profile, PTF_WATCH_FASTEST, 100, 100, 149500);
	ptf_profile_destroy(profile);
}

/* Calls of one bucket cannot be told apart: all or none. */
static void test_calls_of_one_duration(void **state)
{
	struct ptf_profile *profile = make_profile();

	for (unsigned i = 0; i < 10; i++)
		add_call(profile, 1, 1000 * i, 500, 0);
	check_choice(profile, PTF_WATCH_SLOWEST, 10, 10, 5000);
	check_choice(profile, PTF_WATCH_FASTEST, 90, 0, 0);
	ptf_profile_destroy(profile);
}

static void test_no_timed_call(void **state)
{
	const struct ptf_watch_choice choice = {PTF_WATCH_SLOWEST, 1};
	struct ptf_profile *profile = make_profile(), *part;
	struct ptf_watch_counts counts;
	struct ptf_error err = {0};

	assert_int_equal(ptf_watch_check(profile, "f", &err), -PTF_ENODATA);
	assert_non_null(strstr(err.msg, "no function 'f'"));
	add_partial(profile, 1);
	assert_int_equal(ptf_watch_check(profile, "f", &err), 0);
	assert_int_equal(ptf_watch_choose(&part, profile, &choice, &counts, &err), -PTF_ENODATA);
	check_choice(profile, PTF_WATCH_ALL, 0, 1, 7);
	ptf_profile_destroy(profile);
}

/* f under f is no watched call: it is in the part as often as its caller is. */
static void test_recursion(void **state)
{
	struct ptf_profile *profile = make_profile();
	struct ptf_call_node *inner;
	struct ptf_calls_report report;

	add_call(profile, 0, 1, 600, 400);
	inner = sample_node(profile, 0, "main")->children;
	inner = ptf_call_tree_child(
	        &profile->threads[0].tree, inner, sample_function(profile, "f"));
	sample_call(profile, 0, inner, 50);
	sample_time(profile, 0, inner, PTF_TIME_ON, 11);
	assert_int_equal(ptf_calls_report_init(&report, profile, NULL), 0);
	assert_int_equal(report.calls, 2);
	assert_int_equal(report.nested_calls, 1);
	assert_int_equal(report.times.total.count, 2);
	assert_int_equal(report.times.total.min_ns, 50);
	assert_int_equal(report.n_slowest, 1);
	ptf_calls_report_release(&report);
	ptf_profile_destroy(profile);
}

static void test_slowest_and_places(void **state)
{
	struct ptf_profile *profile = make_profile();
	struct ptf_calls_report report;

	for (uint64_t i = 0; i < 40; i++)
		add_call(profile, i % THREADS, i, 100, 10 * ((i * 7) % 40));
	assert_int_equal(ptf_calls_report_init(&report, profile, NULL), 0);
	assert_string_equal(report.name, "f");
	assert_int_equal(report.functions, 1);
	assert_int_equal(report.n_slowest, PTF_SLOW_CALLS);
	for (uint64_t i = 0; i < PTF_SLOW_CALLS; i++) {
		const struct ptf_calls_slow *slow = &report.slowest[i];
		const struct ptf_slow_call *call = slow->slow.call;

		assert_int_equal(call->parts.ns[PTF_PART_OFF], 10 * (39 - i));
		assert_int_equal(call->start_ns * 7 % 40, 39 - i);
		assert_int_equal(slow->slow.thread->tid, 101 + call->start_ns % THREADS);
		assert_int_equal(slow->places.n, 2);
		assert_int_equal(slow->places.total_ns, 100 + 10 * (39 - i));
		assert_string_equal(slow->places.v[0].name, "[kernel]_[k] [blocked]");
		assert_int_equal(slow->places.v[0].ns, 10 * (39 - i));
		assert_string_equal(slow->places.v[1].name, "f");
	}
	ptf_calls_report_release(&report);
	ptf_profile_destroy(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_choice),
	        cmocka_unit_test(test_calls_of_one_duration),
	        cmocka_unit_test(test_no_timed_call),
	        cmocka_unit_test(test_recursion),
	        cmocka_unit_test(test_slowest_and_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
