/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack rules on one whole stack: each script makes the tree that was worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/tests/stack_scripts.h"

/* A script on one whole stack, item by item. */
struct whole {
	struct script script;
	struct ptf_thread_timeline life;
	struct ptf_stack_rule_counts rules;
	struct ptf_stitch stitch;
};

/* spans: while the thread is off its CPU, or NULL; n of them. */
static void run_items(
        struct whole *w, const struct script_case *c, const struct ptf_off_span *spans, size_t n)
{
	*w = (struct whole){0};
	c->write(&w->script);
	w->life = script_life(&w->script);
	w->life.off = spans;
	w->life.n_off = n;
	assert_int_equal(ptf_stitch_init(&w->stitch, &w->life, &w->rules), 0);
	for (size_t i = 0; i < w->script.n; i++)
		assert_int_equal(ptf_stitch_item(&w->stitch, &w->script.items[i]), 0);
	assert_int_equal(ptf_stitch_finish(&w->stitch), 0);
}

static void release(struct whole *w)
{
	ptf_stitch_release(&w->stitch);
}

static char *tree_text(const struct whole *w)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	script_print_tree(out, &w->stitch.tree, false);
	fclose(out);
	return text;
}

static char *rules_text(const struct whole *w)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	script_print_rules(out, &w->rules);
	fclose(out);
	return text;
}

static const struct script_case *case_named(const char *name)
{
	for (size_t i = 0; i < script_case_count; i++) {
		if (strcmp(script_cases[i].name, name) == 0)
			return &script_cases[i];
	}
	fail_msg("no case %s", name);
	return NULL;
}

static void test_rules(void **state)
{
	for (size_t i = 0; i < script_case_count; i++) {
		struct whole w;
		char *text;

		run_items(&w, &script_cases[i], NULL, 0);
		print_message("%s\n", script_cases[i].name);
		text = tree_text(&w);
		assert_string_equal(text, script_cases[i].tree);
		free(text);
		text = rules_text(&w);
		assert_string_equal(text, script_cases[i].rules);
		free(text);
		release(&w);
	}
}

/* Where a stack was given up is told: the first places. */
static void test_losses_are_told(void **state)
{
	struct whole w;

	run_items(&w, case_named("unmatched return"), NULL, 0);
	assert_int_equal(w.rules.n_losses, 1);
	assert_int_equal(w.rules.losses[0].rule, PTF_RULE_UNMATCHED);
	assert_int_equal(w.rules.losses[0].tid, 1);
	assert_int_equal(w.rules.losses[0].time_ns, SCRIPT_START_NS + 2 * SCRIPT_STEP_NS);
	assert_int_equal(w.rules.losses[0].to, script_function("c")->address + 0x15);
	assert_ptr_equal(w.rules.losses[0].to_function, script_function("c"));
	assert_ptr_equal(w.rules.losses[0].from_function, script_function("a"));
	release(&w);
	run_items(&w, case_named("gap, the stack is closed"), NULL, 0);
	assert_int_equal(w.rules.n_losses, 1);
	assert_int_equal(w.rules.losses[0].rule, PTF_RULE_GAP_CLOSED);
	release(&w);
	run_items(&w, case_named("nested calls"), NULL, 0);
	assert_int_equal(w.rules.n_losses, 0);
	release(&w);
}

/* Sums over a tree. */
struct sums {
	uint64_t states[PTF_STATES], wall_ns, insns;
};

/* Every call has each part once, and the parts of all are the whole. */
static void check_parts(const struct ptf_call_times *times)
{
	uint64_t ns = 0;

	for (unsigned part = 0; part < PTF_PARTS; part++) {
		ns += ptf_call_times_sum(times, (enum ptf_time_part)part);
		if (times->parts)
			assert_int_equal(times->parts[part].count, times->total.count);
	}
	assert_int_equal(ns, times->total.sum_ns);
}

static struct sums sum_up(const struct ptf_call_tree *tree)
{
	const struct ptf_call_node *node = &tree->root;
	struct sums sums = {0};
	unsigned up;

	for (; node; node = ptf_call_node_next(&tree->root, node, &up)) {
		uint64_t states[PTF_STATES];

		ptf_call_node_states(node, states);
		for (unsigned i = 0; i < PTF_STATES; i++) {
			sums.states[i] += states[i];
			sums.wall_ns += states[i];
		}
		sums.insns += node->insns;
		if (node->times)
			check_parts(node->times);
	}
	return sums;
}

static void check_sums(const struct whole *w, uint64_t off_ns)
{
	struct sums sums = sum_up(&w->stitch.tree);
	uint64_t insns = 0;

	for (size_t i = 0; i < w->script.n; i++)
		insns += w->script.items[i].insns;
	assert_int_equal(sums.wall_ns, w->life.end_ns - w->life.start_ns);
	assert_int_equal(sums.states[PTF_STATE_OFF], off_ns);
	assert_int_equal(sums.insns, insns);
}

/* main calls a, which is in a system call from 1020 to 1030 and in an interrupt from 1040 to 1050;
 * between 1025 and 1028 and between 1045 and 1058 it is off its CPU. */
static void test_parts_of_a_call(void **state)
{
	static const struct ptf_off_span spans[] = {
	        {1025, 1028, PTF_OFF_BLOCKED}, {1045, 1058, PTF_OFF_PREEMPTED}};
	struct whole w;

	for (size_t i = 0; i < script_case_count; i++) {
		char *text;
		size_t size;
		FILE *out;

		if (strcmp(script_cases[i].name, "system calls, interrupts, filters") != 0)
			continue;
		run_items(&w, &script_cases[i], spans, 2);
		out = open_memstream(&text, &size);
		assert_non_null(out);
		script_print_times(out, &w.stitch.tree);
		fclose(out);
		assert_string_equal(text, "a 50..50: 1*50\n"
		                          "on 22..22: 1*22\n"
		                          "kernel 12..12: 1*12\n"
		                          "off 16..16: 1*16\n"
		                          "sched_yield 30..30: 1*30\n"
		                          "on 20..20: 1*20\n"
		                          "kernel 10..10: 1*10\n"
		                          "off 0..0: 1*0\n");
		free(text);
		release(&w);
	}
}

/* What a script's tree and slow calls are when a function is watched. */
static char *watched_text(const char *script, const char *function)
{
	struct whole w;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	script_watch(function);
	for (size_t i = 0; i < script_case_count; i++) {
		if (strcmp(script_cases[i].name, script) != 0)
			continue;
		run_items(&w, &script_cases[i], NULL, 0);
		script_print_tree(out, &w.stitch.tree, false);
		script_print_slow(out, w.stitch.stack.slow);
		release(&w);
	}
	script_watch(NULL);
	fclose(out);
	return text;
}

static void assert_watched(const char *script, const char *function, const char *want)
{
	char *text = watched_text(script, function);

	assert_string_equal(text, want);
	free(text);
}

/* Calls of a watched function stand apart by duration; the ones inside of another do not, nor those
 * of which only a part was seen. */
static void test_watched_calls(void **state)
{
	assert_watched("tail jumps", "b",
	        "main c0 j0 p1 t0/0 on:20 kernel:20\n"
	        "main;a c1 j0 p0 t1/10 on:10\n"
	        "main;b#30 c1 j1 p0 t1/30 on:20\n"
	        "main;b#30;c c1 j0 p0 t1/10 on:10\n"
	        "main;c c1 j1 p0 t1/10 on:10\n"
	        "at 1020: 30 + 0 + 0 ns\n"
	        "b;c c1 j0 p0 t1/10 i7 on:10\n");
	assert_watched("recursion", "a",
	        "main c0 j0 p1 t0/0 on:20 kernel:20\n"
	        "main;a#70 c1 j0 p0 t1/70 on:30\n"
	        "main;a#70;a c2 j0 p0 t2/40 on:30\n"
	        "main;a#70;a;a c1 j0 p0 t1/10 on:10\n"
	        "at 1010: 70 + 0 + 0 ns\n"
	        "a;a c2 j0 p0 t2/40 i14 on:30\n"
	        "a;a;a c1 j0 p0 t1/10 i7 on:10\n");
	assert_watched("returns below the base", "a",
	        "main c0 j0 p1 t0/0 on:30\n"
	        "main;a#untimed c0 j0 p1 t0/0 on:10\n"
	        "main;a#untimed;b c0 j0 p1 t0/0 on:20\n"
	        "main;a#untimed;b;c c1 j0 p1 t1/10 on:30 kernel:20\n"
	        "main;a#untimed;b;c;handler c1 j0 p0 t1/10 on:10\n"
	        "main;a#10 c1 j0 p0 t1/10 on:10\n"
	        "main;b c1 j0 p0 t1/10 on:10\n"
	        "at 1100: 10 + 0 + 0 ns\n");
	/* A watched call that goes on inside of another is that one's; it stays untimed. */
	assert_watched("coroutine that goes on in its own function", "b",
	        "main c0 j0 p1 t0/0 on:30 kernel:20\n"
	        "main;a c1 j0 p0 t1/60 on:20\n"
	        "main;a;switch c1 j0 p0 t1/10 on:10\n"
	        "main;a;task c1 j1 p0 t0/0 on:10\n"
	        "main;a;task;b#untimed c1 j0 p0 t0/0 on:10\n"
	        "main;a;task;b#untimed;switch c1 j0 p0 t0/0 on:10\n"
	        "main;b#60 c1 j0 p0 t1/60 on:20\n"
	        "main;b#60;switch c1 j0 p0 t1/10 on:10\n"
	        "main;b#60;task c0 j0 p1 t0/0 on:10\n"
	        "main;b#60;task;b c0 j0 p0 t1/70 on:10\n"
	        "main;b#60;task;b;switch c0 j0 p0 t1/50\n"
	        "main;b#60;task;switch c1 j0 p1 t0/0 on:10\n"
	        "at 1080: 60 + 0 + 0 ns\n"
	        "b;switch c1 j0 p0 t1/10 i3 on:10\n"
	        "b;task c0 j0 p0 t0/0 i5 on:10\n"
	        "b;task;b c0 j0 p0 t1/70 i4 on:10\n"
	        "b;task;b;switch c0 j0 p0 t1/50 i0\n"
	        "b;task;switch c1 j0 p0 t0/0 i6 on:10\n");
	/* handler's call was there before its caller b was seen, and stays where it is. */
	assert_watched("returns below the base", "handler",
	        "main c0 j0 p1 t0/0 on:30\n"
	        "main;a c1 j0 p1 t1/10 on:20\n"
	        "main;a;b c0 j0 p1 t0/0 on:20\n"
	        "main;a;b;c c1 j0 p1 t1/10 on:30 kernel:20\n"
	        "main;a;b;c;handler#10 c1 j0 p0 t1/10 on:10\n"
	        "main;b c1 j0 p0 t1/10 on:10\n"
	        "at 1010: 10 + 0 + 0 ns\n");
}

/* wall = on + kernel + off + lost to the nanosecond, wherever one span lies. */
static void test_wall_is_the_sum_of_states(void **state)
{
	for (size_t i = 0; i < script_case_count; i++) {
		struct whole w;

		run_items(&w, &script_cases[i], NULL, 0);
		check_sums(&w, 0);
		release(&w);
		for (uint64_t from = 980; from < 1200; from += 3) {
			for (uint64_t length = 1; length < 40; length += 7) {
				struct ptf_off_span span = {from, from + length, PTF_OFF_BLOCKED};
				uint64_t end;

				run_items(&w, &script_cases[i], &span, 1);
				end = w.life.end_ns;
				check_sums(&w, span.from_ns >= end ? 0
				               : span.to_ns > end  ? end - span.from_ns
				                                   : length);
				release(&w);
			}
		}
	}
}

/* A window cuts into the script: nothing outside of it is booked, in no state. */
static void test_window_clips(void **state)
{
	for (size_t i = 0; i < script_case_count; i++) {
		for (uint64_t start = 975; start < 1100; start += 15) {
			struct whole w = {0};

			script_cases[i].write(&w.script);
			w.life = script_life(&w.script);
			w.life.start_ns = start;
			w.life.end_ns = start + 33;
			assert_int_equal(ptf_stitch_init(&w.stitch, &w.life, &w.rules), 0);
			for (size_t k = 0; k < w.script.n; k++)
				assert_int_equal(ptf_stitch_item(&w.stitch, &w.script.items[k]), 0);
			assert_int_equal(ptf_stitch_finish(&w.stitch), 0);
			check_sums(&w, 0);
			release(&w);
		}
	}
}

static uint64_t time_at(const struct whole *w, const char *path[], unsigned time_class)
{
	const struct ptf_call_node *node = &w->stitch.tree.root;

	for (; *path; path++) {
		node = node->children;
		while (node && node->function != script_function(*path))
			node = node->sibling;
		assert_non_null(node);
	}
	return ptf_call_node_time(node, time_class);
}

/* Off time is booked where the thread was, with the reason; sched_yield is the thread's own wish.
 */
static void test_off_time_has_place_and_reason(void **state)
{
	/* main 1000, a 1010, system call 1020..1030, interrupt 1040..1050, sched_yield 1070,
	 * its system call 1080..1090, filter 1110..1120 */
	static const struct ptf_off_span spans[] = {
	        {985, 988, PTF_OFF_BLOCKED},
	        {1012, 1015, PTF_OFF_PREEMPTED},
	        {1018, 1026, PTF_OFF_BLOCKED},
	        {1044, 1045, PTF_OFF_UNKNOWN},
	        {1072, 1073, PTF_OFF_PREEMPTED},
	        {1081, 1084, PTF_OFF_PREEMPTED},
	        {1114, 1118, PTF_OFF_RUNQUEUE},
	};
	const char *in_main[] = {"main", NULL}, *in_a[] = {"main", "a", NULL};
	const char *in_yield[] = {"main", "sched_yield", NULL};
	struct whole w;

	run_items(&w, case_named("system calls, interrupts, filters"), spans,
	        sizeof(spans) / sizeof(spans[0]));
#define OFF(path, place, reason)                                                                   \
	time_at(&w, path, ptf_time_class_off(PTF_PLACE_##place, PTF_OFF_##reason))
	assert_int_equal(OFF(in_main, KERNEL, BLOCKED), 3);
	assert_int_equal(OFF(in_a, USER, PREEMPTED), 3);
	assert_int_equal(OFF(in_a, USER, BLOCKED), 2);
	assert_int_equal(OFF(in_a, SYSCALL, BLOCKED), 6);
	assert_int_equal(OFF(in_a, INTERRUPT, UNKNOWN), 1);
	assert_int_equal(OFF(in_yield, USER, PREEMPTED), 1);
	assert_int_equal(OFF(in_yield, SYSCALL, PREEMPTED), 0);
	assert_int_equal(OFF(in_yield, SYSCALL, YIELDED), 3);
	assert_int_equal(OFF(in_main, FILTERED, RUNQUEUE), 4);
#undef OFF
	assert_int_equal(time_at(&w, in_a, PTF_TIME_SYSCALL), 4);
	check_sums(&w, 23);
	release(&w);
}

/* A thread that is named by records alone was in the kernel all its life. */
static void test_without_items(void **state)
{
	struct whole w = {0};
	struct ptf_off_span span = {995, 998, PTF_OFF_BLOCKED};

	w.life = script_life(&w.script);
	w.life.off = &span;
	w.life.n_off = 1;
	assert_int_equal(ptf_stitch_init(&w.stitch, &w.life, &w.rules), 0);
	assert_int_equal(ptf_stitch_finish(&w.stitch), 0);
	check_sums(&w, 3);
	assert_int_equal(ptf_call_node_time(&w.stitch.tree.root, PTF_TIME_KERNEL), 17);
	release(&w);
}

/* What two slices of a script count, or the whole. */
struct slice_sums {
	uint64_t calls, jump_calls, insns, timed_calls, visits;
	uint64_t fired;
	uint64_t states[PTF_STATES];
};

static void add_slice(struct slice_sums *sums, const struct whole *w)
{
	const struct ptf_call_node *node = &w->stitch.tree.root;
	uint64_t states[PTF_STATES];
	unsigned up;

	for (; node; node = ptf_call_node_next(&w->stitch.tree.root, node, &up)) {
		sums->calls += node->calls;
		sums->jump_calls += node->jump_calls;
		sums->insns += node->insns;
		sums->timed_calls += ptf_call_node_timed_calls(node);
		for (unsigned i = 0; node->visits && i < PTF_VISIT_KINDS; i++)
			sums->visits += node->visits[i].calls;
		ptf_call_node_states(node, states);
		for (unsigned i = 0; i < PTF_STATES; i++)
			sums->states[i] += states[i];
	}
	for (unsigned i = 0; i < PTF_RULES; i++)
		sums->fired += w->rules.fired[i];
}

/* The items first..end-1 of a script count, those before are muted; the life is clipped. */
static void add_items(struct slice_sums *sums, const struct script_case *c, size_t first,
        size_t end, const struct ptf_off_span *span)
{
	struct whole w = {0};

	c->write(&w.script);
	w.life = script_life(&w.script);
	w.life.off = span;
	w.life.n_off = 1;
	if (first)
		w.life.start_ns = w.script.items[first].time_ns;
	if (end < w.script.n)
		w.life.end_ns = w.script.items[end].time_ns;
	assert_int_equal(ptf_stitch_init(&w.stitch, &w.life, &w.rules), 0);
	for (size_t i = 0; i < end && i < w.script.n; i++) {
		w.stitch.stack.muted = i < first;
		assert_int_equal(ptf_stitch_item(&w.stitch, &w.script.items[i]), 0);
	}
	assert_int_equal(ptf_stitch_finish(&w.stitch), 0);
	add_slice(sums, &w);
	release(&w);
}

/* Wherever a script is cut in two slices, they add up to the whole; a call that crosses the cut is
 * timed in neither. */
static void test_slices_add_up(void **state)
{
	const struct ptf_off_span span = {1013, 1024, PTF_OFF_BLOCKED};

	for (size_t i = 0; i < script_case_count; i++) {
		struct slice_sums whole = {0};
		struct script script = {0};

		script_cases[i].write(&script);
		add_items(&whole, &script_cases[i], 0, SCRIPT_ITEMS, &span);
		for (size_t cut = 1; cut < script.n; cut++) {
			struct slice_sums sums = {0};

			add_items(&sums, &script_cases[i], 0, cut, &span);
			add_items(&sums, &script_cases[i], cut, SCRIPT_ITEMS, &span);
			assert_true(sums.timed_calls <= whole.timed_calls ||
			            script_cases[i].learns_late);
			sums.timed_calls = whole.timed_calls;
			assert_memory_equal(&sums, &whole, sizeof(sums));
		}
	}
}

/* main calls a, then the slice begins: a is a partial frame there and no call of it. */
static void test_frames_from_before_the_slice(void **state)
{
	struct whole w = {0};
	struct ptf_call_node *node;

	case_named("nested calls")->write(&w.script);
	w.life = script_life(&w.script);
	assert_int_equal(ptf_stitch_init(&w.stitch, &w.life, &w.rules), 0);
	for (size_t i = 0; i < w.script.n; i++) {
		w.stitch.stack.muted = i < 2;
		assert_int_equal(ptf_stitch_item(&w.stitch, &w.script.items[i]), 0);
	}
	assert_int_equal(ptf_stitch_finish(&w.stitch), 0);
	node = w.stitch.tree.root.children->children;
	assert_ptr_equal(node->function, script_function("a"));
	assert_int_equal(node->calls, 0);
	assert_int_equal(node->partial_calls, 1);
	assert_null(node->times);
	node = node->children;
	assert_ptr_equal(node->function, script_function("b"));
	assert_true(node->calls > 0 && node->partial_calls == 0);
	release(&w);
}

/* A script's visits of the kernel, while it is off its CPU in between. */
static void expect_visits(const char *script, const struct ptf_off_span *span, const char *expected)
{
	struct whole w;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	run_items(&w, case_named(script), span, 1);
	script_print_visits(out, &w.stitch.tree);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	release(&w);
}

static void test_visits_of_the_kernel(void **state)
{
	const struct ptf_off_span span = {1023, 1027, PTF_OFF_BLOCKED};

	/* Name, kind, calls, partial, timed with their time in the kernel and off the CPU. */
	expect_visits("system calls, interrupts, filters", &span,
	        "a syscall c1 p0 t1/6+4\n"
	        "a interrupt c1 p0 t1/10+0\n"
	        "sched_yield syscall c1 p0 t1/10+0\n");
	expect_visits("begins in a system call", &span, "b syscall c0 p1 t0/0+0\n");
	expect_visits("signal", &span,
	        "a interrupt c1 p0 t1/6+4\n"
	        "restorer syscall c1 p0 t1/10+0\n");
}

/* Coroutines that nobody goes on with must not pile up. */
static void test_parked_stacks_are_bounded(void **state)
{
	enum { ROUNDS = 1000, MOST = 256 };
	static struct script script;
	struct whole w = {0};

	case_named("unwound return")->write(&script);
	w.life = script_life(&script);
	w.life.end_ns = SCRIPT_START_NS + SCRIPT_STEP_NS * (4 * ROUNDS + 1);
	assert_int_equal(ptf_stitch_init(&w.stitch, &w.life, &w.rules), 0);
	assert_int_equal(ptf_stitch_item(&w.stitch, &script.items[0]), 0);
	for (uint64_t i = 0; i < 4 * ROUNDS; i++) {
		struct ptf_flow_item item = script.items[1 + i % 4];

		item.time_ns = SCRIPT_START_NS + SCRIPT_STEP_NS * (i + 1);
		assert_int_equal(ptf_stitch_item(&w.stitch, &item), 0);
		assert_true(w.stitch.stack.parked.n <= MOST);
	}
	assert_int_equal(w.rules.fired[PTF_RULE_UNWOUND], ROUNDS);
	assert_int_equal(ptf_stitch_finish(&w.stitch), 0);
	assert_int_equal(sum_up(&w.stitch.tree).wall_ns, w.life.end_ns - w.life.start_ns);
	release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rules),
	        cmocka_unit_test(test_losses_are_told),
	        cmocka_unit_test(test_parts_of_a_call),
	        cmocka_unit_test(test_watched_calls),
	        cmocka_unit_test(test_wall_is_the_sum_of_states),
	        cmocka_unit_test(test_window_clips),
	        cmocka_unit_test(test_off_time_has_place_and_reason),
	        cmocka_unit_test(test_without_items),
	        cmocka_unit_test(test_visits_of_the_kernel),
	        cmocka_unit_test(test_slices_add_up),
	        cmocka_unit_test(test_frames_from_before_the_slice),
	        cmocka_unit_test(test_parked_stacks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
