/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments and stitching: a script that is cut into segments, wherever that may be, gives the
 * tree, the latencies and the rules that it gives on one whole stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/tests/stack_scripts.h"

/* What a run leaves. */
struct run {
	struct ptf_stack_rule_counts rules;
	struct ptf_stitch stitch;
};

/* How segments are made of a script. */
struct cutting {
	bool before[SCRIPT_ITEMS + 1]; /* a segment begins before this item */
	bool untimed_sync;             /* the PSB says where, not when */
	bool few;                      /* no pairs of cuts */
	bool no_sync;                  /* the thread changes, as on a CPU: only before an ON */
};

/* Where the thread runs after some items. */
struct whereabouts {
	uint64_t ip;
	const struct ptf_function *function;
	bool mid_entry;
};

static char *run_text(const struct run *run)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	script_print_tree(out, &run->stitch.tree, true);
	script_print_times(out, &run->stitch.tree);
	script_print_visits(out, &run->stitch.tree);
	script_print_slow(out, run->stitch.stack.slow);
	script_print_rules(out, &run->rules);
	fclose(out);
	return text;
}

static void release(struct run *run)
{
	ptf_stitch_release(&run->stitch);
}

/* Ends the run; its results as text, which the caller frees. */
static char *finish(struct run *run)
{
	char *text;

	assert_int_equal(ptf_stitch_finish(&run->stitch), 0);
	text = run_text(run);
	release(run);
	return text;
}

static void begin(struct run *run, const struct ptf_thread_timeline *life)
{
	*run = (struct run){0};
	assert_int_equal(ptf_stitch_init(&run->stitch, life, &run->rules), 0);
}

static char *run_whole(const struct script *script, const struct ptf_thread_timeline *life)
{
	struct run run;

	begin(&run, life);
	for (size_t i = 0; i < script->n; i++)
		assert_int_equal(ptf_stitch_item(&run.stitch, &script->items[i]), 0);
	return finish(&run);
}

static void follow(struct whereabouts *at, const struct ptf_flow_item *item)
{
	if (item->kind == PTF_FLOW_OFF || item->to_function || item->kind == PTF_FLOW_SYNC)
		*at = (struct whereabouts){item->to, item->to_function, item->mid_entry};
}

static void add_item(struct ptf_fragment_builder *builder, const struct ptf_flow_item *item)
{
	assert_int_equal(ptf_fragment_builder_add(builder, item), 0);
}

/* Ends the fragment in hand and stitches it. */
static void stitch_fragment(struct run *run, struct ptf_fragment_builder *builder, bool gap_before)
{
	struct ptf_fragment *fragment;
	int rc;

	fragment = ptf_fragment_builder_end(builder, &rc);
	assert_non_null(fragment);
	fragment->gap_before = gap_before;
	assert_int_equal(ptf_stitch_add(&run->stitch, fragment), 0);
	ptf_fragment_destroy(fragment);
}

/* Cuts inside of the straight code before `item`: END, then SYNC, 1 ns before it; the instructions
 * of that code are shared out. */
static void cut(struct run *run, struct ptf_fragment_builder *builder, struct ptf_flow_item *item,
        const struct whereabouts *at, const struct cutting *cutting,
        const struct ptf_thread_timeline *life)
{
	struct ptf_flow_item end = {.kind = PTF_FLOW_END,
	        .insns = item->insns / 2,
	        .from = PTF_NO_IP,
	        .to = PTF_NO_IP,
	        .time_ns = item->time_ns - 1};
	struct ptf_flow_item sync = {.kind = PTF_FLOW_SYNC,
	        .from = PTF_NO_IP,
	        .to = at->ip,
	        .to_function = at->function,
	        .mid_entry = at->mid_entry,
	        .time_ns = cutting->untimed_sync ? PTF_NO_TIME : end.time_ns};

	item->insns -= end.insns;
	add_item(builder, &end);
	stitch_fragment(run, builder, false);
	assert_int_equal(ptf_fragment_builder_begin(builder, 1, 1, life), 0);
	if (!cutting->no_sync)
		add_item(builder, &sync);
}

static char *run_cut(const struct script *script, const struct ptf_thread_timeline *life,
        const struct cutting *cutting)
{
	struct ptf_fragment_builder builder;
	struct whereabouts at = {0};
	struct run run;

	begin(&run, life);
	ptf_fragment_builder_init(&builder, &run.rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, life), 0);
	for (size_t i = 0; i < script->n; i++) {
		struct ptf_flow_item item = script->items[i];

		if (cutting->before[i] && !script->sealed[i] &&
		        (!cutting->no_sync || item.kind == PTF_FLOW_ON))
			cut(&run, &builder, &item, &at, cutting, life);
		add_item(&builder, &item);
		follow(&at, &item);
	}
	stitch_fragment(&run, &builder, false);
	ptf_fragment_builder_release(&builder);
	return finish(&run);
}

static void print_cutting(const struct script_case *c, const struct cutting *cutting, size_t n)
{
	print_message("%s, cut before items", c->name);
	for (size_t i = 0; i < n; i++) {
		if (cutting->before[i])
			print_message(" %zu", i);
	}
	print_message("%s%s\n", cutting->untimed_sync ? ", SYNC without time" : "",
	        cutting->no_sync ? ", no SYNC" : "");
}

static void compare(const struct script_case *c, const struct script *script,
        const struct ptf_thread_timeline *life, const struct cutting *cutting, const char *want)
{
	char *got = run_cut(script, life, cutting);

	if (strcmp(got, want) != 0)
		print_cutting(c, cutting, script->n);
	assert_string_equal(got, want);
	free(got);
}

/* No cut, each single cut, each pair, and a cut before every item. */
static void compare_cuts(const struct script_case *c, const struct script *script,
        const struct ptf_thread_timeline *life, struct cutting how)
{
	char *want = run_whole(script, life);

	for (size_t i = 0; i < script->n; i++) {
		for (size_t k = i; k < (how.few ? i + 1 : script->n); k++) {
			struct cutting cutting = how;

			/* Item 0 is the start; there is nothing to cut before it. */
			cutting.before[i] = i > 0;
			cutting.before[k] = k > 0;
			compare(c, script, life, &cutting, want);
		}
	}
	for (size_t i = 1; i < script->n; i++)
		how.before[i] = true;
	compare(c, script, life, &how, want);
	free(want);
}

static void compare_all(const struct ptf_off_span *spans, size_t n, bool timed, struct cutting how)
{
	for (size_t i = 0; i < script_case_count; i++) {
		struct script script = {0};
		struct ptf_thread_timeline life;

		script_cases[i].write(&script);
		life = script_life(&script);
		life.off = spans;
		life.n_off = n;
		compare_cuts(&script_cases[i], &script, timed ? &life : NULL, how);
	}
}

static void test_cut_everywhere(void **state)
{
	compare_all(NULL, 0, true, (struct cutting){0});
}

static void test_sync_without_time(void **state)
{
	compare_all(NULL, 0, true, (struct cutting){.untimed_sync = true, .few = true});
}

static void test_without_sync(void **state)
{
	compare_all(NULL, 0, true, (struct cutting){.no_sync = true, .few = true});
}

static void test_without_timing(void **state)
{
	compare_all(NULL, 0, false, (struct cutting){.few = true});
}

/* Spans over items, between them, over cuts (which are at ...9), touching, at both ends. */
static void test_off_spans_cross_the_cuts(void **state)
{
	static const struct ptf_off_span spans[] = {
	        {980, 983, PTF_OFF_BLOCKED},
	        {997, 1003, PTF_OFF_PREEMPTED},
	        {1008, 1012, PTF_OFF_BLOCKED},
	        {1012, 1016, PTF_OFF_PREEMPTED},
	        {1019, 1020, PTF_OFF_UNKNOWN},
	        {1024, 1057, PTF_OFF_BLOCKED},
	        {1059, 1059 + 2, PTF_OFF_BLOCKED},
	        {1071, 1099, PTF_OFF_PREEMPTED},
	        {1105, 1300, PTF_OFF_BLOCKED},
	};

	compare_all(spans, sizeof(spans) / sizeof(spans[0]), true, (struct cutting){.few = true});
	compare_all(spans, sizeof(spans) / sizeof(spans[0]), true,
	        (struct cutting){.untimed_sync = true, .few = true});
}

/* ---- watched functions ---- */

static const char *const watched_functions[] = {
        "main", "a", "b", "c", "task", "switch", "handler", "restorer"};

/* Wherever the cuts: the same calls, in the same slices, the same ones slowest. */
static void test_watched_calls_cut_everywhere(void **state)
{
	static const struct ptf_off_span spans[] = {
	        {1008, 1012, PTF_OFF_BLOCKED}, {1024, 1057, PTF_OFF_BLOCKED}};

	for (size_t i = 0; i < sizeof(watched_functions) / sizeof(*watched_functions); i++) {
		script_watch(watched_functions[i]);
		compare_all(spans, 2, true, (struct cutting){.few = true});
	}
	script_watch("a");
	compare_all(NULL, 0, true, (struct cutting){.no_sync = true, .few = true});
	compare_all(NULL, 0, false, (struct cutting){.few = true});
	script_watch(NULL);
}

/* A watched call of a coroutine stays in one piece when the coroutine goes on under another caller,
 * so paths differ then; not the functions' times, which stand behind them. */
static const char *comparable(const char *text)
{
	return strstr(text, "stack_switch") ? strstr(text, "(root)") : text;
}

/* Watching a function takes nothing away: with the slices joined the tree is as without. */
static void test_slices_add_up(void **state)
{
	for (size_t i = 0; i < script_case_count; i++) {
		struct script script = {0};
		struct ptf_thread_timeline life;
		char *want;

		script_cases[i].write(&script);
		life = script_life(&script);
		want = run_whole(&script, &life);
		for (size_t f = 0; f < sizeof(watched_functions) / sizeof(*watched_functions);
		        f++) {
			struct run run;
			char *got;

			script_watch(watched_functions[f]);
			begin(&run, &life);
			for (size_t k = 0; k < script.n; k++)
				assert_int_equal(ptf_stitch_item(&run.stitch, &script.items[k]), 0);
			assert_int_equal(ptf_stitch_finish(&run.stitch), 0);
			ptf_call_node_unwatch(&run.stitch.tree.root);
			run.stitch.stack.slow = NULL;
			got = run_text(&run);
			if (strcmp(comparable(got), comparable(want)) != 0)
				print_message("%s, watching %s\n", script_cases[i].name,
				        watched_functions[f]);
			assert_string_equal(comparable(got), comparable(want));
			free(got);
			release(&run);
			script_watch(NULL);
		}
		free(want);
	}
}

/* ---- what a cut adds ---- */

static void add_simple(struct ptf_fragment_builder *builder, enum ptf_flow_kind kind,
        const char *to, uint64_t offset, uint64_t time_ns)
{
	const struct ptf_function *function = to ? script_function(to) : NULL;
	struct ptf_flow_item item = {.kind = (uint8_t)kind,
	        .from = PTF_NO_IP,
	        .to = to ? function->address + offset : PTF_NO_IP,
	        .to_function = function,
	        .mid_entry = offset != 0,
	        .time_ns = time_ns};

	add_item(builder, &item);
}

static const struct ptf_thread_timeline short_life = {
        .pid = 1, .tid = 1, .comm = "x", .start_ns = 1000, .end_ns = 1100};

/* AUX data is missing between two segments: lost from the end of the first to the second's SYNC. */
static void test_gap_between_segments(void **state)
{
	struct ptf_fragment_builder builder;
	struct run run;
	char *text;

	begin(&run, &short_life);
	ptf_fragment_builder_init(&builder, &run.rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000);
	add_simple(&builder, PTF_FLOW_CALL, "a", 0, 1010);
	add_simple(&builder, PTF_FLOW_CALL, "b", 0, 1020);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1030);
	stitch_fragment(&run, &builder, false);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "a", 0x40, 1060);
	add_simple(&builder, PTF_FLOW_CALL, "c", 0, 1070);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1080);
	stitch_fragment(&run, &builder, true);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "task", 0x40, 1090);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1095);
	stitch_fragment(&run, &builder, true);
	ptf_fragment_builder_release(&builder);
	text = finish(&run);
	assert_string_equal(text, "main c0 j0 p1 t0/0 i0 on:10\n"
	                          "main;a c1 j0 p1 t0/0 i0 on:20\n"
	                          "main;a;b c1 j0 p1 t0/0 i0 on:10 lost:30\n"
	                          "main;a;c c1 j0 p1 t0/0 i0 on:10 lost:10\n"
	                          "task c0 j0 p1 t0/0 i0 on:10\n"
	                          "(root) i0 on:0\n"
	                          "gap_kept:1 gap_closed:1 ");
	free(text);
}

/* Fragments are put in order by their first known time. */
static void test_start_of_a_fragment(void **state)
{
	struct ptf_stack_rule_counts rules = {0};
	struct ptf_fragment_builder builder;
	struct ptf_fragment *fragment;
	int rc;

	ptf_fragment_builder_init(&builder, &rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 2, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, PTF_NO_TIME);
	add_simple(&builder, PTF_FLOW_CALL, "a", 0, 1010);
	add_simple(&builder, PTF_FLOW_CALL, "b", 0, 1020);
	fragment = ptf_fragment_builder_end(&builder, &rc);
	assert_non_null(fragment);
	assert_int_equal(fragment->start_ns, 1010);
	assert_int_equal(fragment->pid, 1);
	assert_int_equal(fragment->tid, 2);
	assert_true(fragment->has_sync);
	ptf_fragment_destroy(fragment);
	assert_null(ptf_fragment_builder_end(&builder, &rc)); /* none was begun */
	assert_int_equal(rc, 0);
	ptf_fragment_builder_release(&builder);
}

/* A gap in front of a segment that begins with tracing off: kernel from where that is known. */
static void test_gap_before_dark_segment(void **state)
{
	struct ptf_fragment_builder builder;
	struct run run;
	char *text;

	begin(&run, &short_life);
	ptf_fragment_builder_init(&builder, &run.rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1030);
	stitch_fragment(&run, &builder, false);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, NULL, 0, 1060);
	add_simple(&builder, PTF_FLOW_ON, "main", 0x40, 1080);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1090);
	stitch_fragment(&run, &builder, true);
	ptf_fragment_builder_release(&builder);
	text = finish(&run);
	assert_string_equal(text, "main c0 j0 p1 t0/0 i0 on:50 kernel:20 lost:30\n"
	                          "(root) i0 on:0\n");
	free(text);
}

/* main calls a, which is in a system call or not, when a segment ends at 1030; the next begins at
 * 1050 somewhere. */
static char *run_surprise(bool in_syscall, const char *to, uint64_t offset)
{
	struct ptf_fragment_builder builder;
	struct run run;

	begin(&run, &short_life);
	ptf_fragment_builder_init(&builder, &run.rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000);
	add_simple(&builder, PTF_FLOW_CALL, "a", 0, 1010);
	if (in_syscall) {
		struct ptf_flow_item off = {.kind = PTF_FLOW_OFF,
		        .cause = PTF_CAUSE_SYSCALL,
		        .from = script_function("a")->address + 0x10,
		        .to = PTF_NO_IP,
		        .time_ns = 1020};

		add_item(&builder, &off);
	}
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1030);
	stitch_fragment(&run, &builder, false);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, to, offset, 1050);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1090);
	stitch_fragment(&run, &builder, false);
	ptf_fragment_builder_release(&builder);
	return finish(&run);
}

/* A PSB says otherwise than the items before it: it is right about whether tracing is on, and never
 * changes a stack that runs. */
static void test_psb_that_disagrees(void **state)
{
	static const struct {
		bool in_syscall;
		const char *to;
		uint64_t offset;
		const char *text;
	} cases[] = {
	        /* the PSB agrees */
	        {false, "a", 0x40,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:90\n"
	                "(root) i0 on:0\n"},
	        {true, NULL, 0,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:10 syscall:80\n"
	                "(root) i0 on:0\na syscall c1 p1 t0/0+0\n"},
	        /* tracing went off */
	        {false, NULL, 0,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:40 kernel:50\n"
	                "(root) i0 on:0\n"},
	        /* another function than known: a guess, where nothing was lost */
	        {false, "main", 0x40,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:90\n"
	                "(root) i0 on:0\n"},
	        {false, "c", 0x40,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:90\n"
	                "(root) i0 on:0\n"},
	        /* the system call is over */
	        {true, "a", 0x12,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:60 syscall:30\n"
	                "(root) i0 on:0\na syscall c1 p1 t0/0+0\n"},
	        /* ... by a signal */
	        {true, "handler", 0,
	                "main c0 j0 p1 t0/0 i0 on:10\n"
	                "main;a c1 j0 p1 t0/0 i0 on:10 syscall:30\n"
	                "main;a;handler c1 j1 p1 t0/0 i0 on:50\n"
	                "(root) i0 on:0\na syscall c1 p1 t0/0+0\nasync_entry:1 "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = run_surprise(cases[i].in_syscall, cases[i].to, cases[i].offset);

		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

/* A segment ends between a call that is not traced and the place where tracing goes on; dark
 * segments may lie between. The next one knows what begins there, the first that it was a call. */
static void test_untraced_call_over_segments(void **state)
{
	for (unsigned dark = 0; dark < 3; dark++) {
		struct ptf_flow_item end = {.kind = PTF_FLOW_END,
		        .cause = PTF_CAUSE_BRANCH,
		        .from = PTF_NO_IP,
		        .to = PTF_NO_IP,
		        .time_ns = 1030};
		struct ptf_flow_item on = {.kind = PTF_FLOW_ON,
		        .mid_entry = true,
		        .from = PTF_NO_IP,
		        .from_function = script_function("b"),
		        .to = script_function("main")->address + 0x20,
		        .to_function = script_function("main"),
		        .time_ns = 1080};
		struct ptf_fragment_builder builder;
		struct run run;
		char *text;

		begin(&run, &short_life);
		ptf_fragment_builder_init(&builder, &run.rules);
		assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
		add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000);
		add_simple(&builder, PTF_FLOW_OFF, NULL, 0, 1020);
		add_item(&builder, &end);
		stitch_fragment(&run, &builder, false);
		for (unsigned i = 0; i < dark; i++) {
			assert_int_equal(
			        ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
			add_simple(&builder, PTF_FLOW_SYNC, NULL, 0, 1040 + 10 * i);
			add_simple(&builder, PTF_FLOW_END, NULL, 0, 1050 + 10 * i);
			stitch_fragment(&run, &builder, false);
		}
		assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
		add_simple(&builder, PTF_FLOW_SYNC, NULL, 0, 1070);
		add_item(&builder, &on);
		stitch_fragment(&run, &builder, false);
		ptf_fragment_builder_release(&builder);
		text = finish(&run);
		assert_string_equal(text, "main c0 j0 p1 t0/0 i0 on:40 kernel:60\n"
		                          "main;b c1 j0 p1 t0/0 i0\n"
		                          "(root) i0 on:0\n");
		free(text);
	}
}

static uint64_t wall_of(const struct ptf_call_tree *tree)
{
	const struct ptf_call_node *node = &tree->root;
	uint64_t wall = 0;
	unsigned up;

	for (; node; node = ptf_call_node_next(&tree->root, node, &up)) {
		uint64_t states[PTF_STATES];

		ptf_call_node_states(node, states);
		for (unsigned i = 0; i < PTF_STATES; i++)
			wall += states[i];
	}
	return wall;
}

/* Times that run backwards (streams of two CPUs) book nothing twice. */
static void test_time_runs_backwards(void **state)
{
	struct ptf_fragment_builder builder;
	struct run run;

	begin(&run, &short_life);
	ptf_fragment_builder_init(&builder, &run.rules);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
		add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000 + 15 * i);
		add_simple(&builder, PTF_FLOW_CALL, "a", 0, 1020 + 15 * i);
		add_simple(&builder, PTF_FLOW_CALL, "b", 0, 1010 + 15 * i);
		add_simple(&builder, PTF_FLOW_JUMP, "main", 0x10, 1025 + 15 * i);
		add_simple(&builder, PTF_FLOW_END, NULL, 0, 1022 + 15 * i);
		stitch_fragment(&run, &builder, false);
	}
	ptf_fragment_builder_release(&builder);
	assert_int_equal(ptf_stitch_finish(&run.stitch), 0);
	assert_int_equal(wall_of(&run.stitch.tree), short_life.end_ns - short_life.start_ns);
	release(&run);
}

/* On CPU 1 the thread goes into the kernel, where that CPU's segment ends much later; meanwhile it
 * ran on CPU 2. */
static void test_migration(void **state)
{
	struct ptf_fragment_builder builder;
	struct run run;
	char *text;

	begin(&run, &short_life);
	ptf_fragment_builder_init(&builder, &run.rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_SYNC, "main", 0x10, 1000);
	add_simple(&builder, PTF_FLOW_OFF, NULL, 0, 1020);
	add_simple(&builder, PTF_FLOW_END, NULL, 0, 1090);
	stitch_fragment(&run, &builder, false);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &short_life), 0);
	add_simple(&builder, PTF_FLOW_ON, "main", 0x20, 1040);
	add_simple(&builder, PTF_FLOW_CALL, "a", 0, 1060);
	add_simple(&builder, PTF_FLOW_OFF, NULL, 0, 1070);
	stitch_fragment(&run, &builder, false);
	ptf_fragment_builder_release(&builder);
	text = finish(&run);
	assert_string_equal(text, "main c0 j0 p1 t0/0 i0 on:40 kernel:20\n"
	                          "main;a c1 j0 p1 t0/0 i0 on:10 kernel:30\n"
	                          "(root) i0 on:0\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_cut_everywhere),
	        cmocka_unit_test(test_sync_without_time),
	        cmocka_unit_test(test_without_sync),
	        cmocka_unit_test(test_without_timing),
	        cmocka_unit_test(test_off_spans_cross_the_cuts),
	        cmocka_unit_test(test_watched_calls_cut_everywhere),
	        cmocka_unit_test(test_slices_add_up),
	        cmocka_unit_test(test_gap_between_segments),
	        cmocka_unit_test(test_start_of_a_fragment),
	        cmocka_unit_test(test_gap_before_dark_segment),
	        cmocka_unit_test(test_psb_that_disagrees),
	        cmocka_unit_test(test_untraced_call_over_segments),
	        cmocka_unit_test(test_time_runs_backwards),
	        cmocka_unit_test(test_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
