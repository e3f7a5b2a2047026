/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks that are known whole at some time: before anything was seen, in the middle of the flow
 * (whatever segments it is cut into), where they contradict it, and of a parent at fork.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/tests/stack_scripts.h"

enum { MAX_KNOWN = 4, CALL_SIZE = 5 };

static const struct ptf_thread_timeline life = {
        .pid = 1, .tid = 1, .comm = "x", .start_ns = 1000, .end_ns = 1100};

/* A replay with the stacks that it is told of. */
struct run {
	struct ptf_stack_rule_counts rules;
	struct ptf_stitch stitch;
	struct ptf_known_stack known[MAX_KNOWN];
	struct ptf_stack_marks marks;
};

static void begin(struct run *run)
{
	*run = (struct run){0};
	assert_int_equal(ptf_stitch_init(&run->stitch, &life, &run->rules), 0);
	run->stitch.marks = &run->marks;
}

static char *finish(struct run *run)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(ptf_stitch_finish(&run->stitch), 0);
	script_print_tree(out, &run->stitch.tree, false);
	script_print_rules(out, &run->rules);
	fclose(out);
	ptf_stitch_release(&run->stitch);
	for (size_t i = 0; i < MAX_KNOWN; i++)
		ptf_known_stack_release(&run->known[i]);
	/* A child's, which may have been finished before. */
	ptf_vec_foreach (mark, &run->marks)
		ptf_known_stack_release(mark->stack);
	ptf_vec_release(&run->marks);
	return text;
}

static void finish_as(struct run *run, const char *expected)
{
	char *text = finish(run);

	assert_string_equal(text, expected);
	free(text);
}

static struct ptf_ip_range at(const char *name, uint64_t offset)
{
	uint64_t ip = script_function(name)->address + offset;

	return (struct ptf_ip_range){ip, ip};
}

/* Adds a frame inside the ones before: called from offset `ret` of the frame outside it. */
static struct ptf_frame *frame(struct ptf_known_stack *known, const char *name, uint64_t ret)
{
	struct ptf_frame new = {.function = script_function(name),
	        .ret = PTF_NO_RANGE,
	        .resume = PTF_NO_RANGE,
	        .label = PTF_NO_RANGE,
	        .entry_ns = PTF_NO_TIME};

	if (known->frames.n)
		new.ret = at(known->frames.v[known->frames.n - 1].function->name, ret);
	assert_true(ptf_vec_push(&known->frames, new));
	known->known = true;
	known->place = PTF_PLACE_SYSCALL;
	known->resume = at(name, 0x80);
	return &known->frames.v[known->frames.n - 1];
}

/* A mark of known stack `index`; its frames are the caller's to fill in. */
static struct ptf_known_stack *mark(struct run *run, size_t index, uint64_t time_ns)
{
	struct ptf_stack_mark new = {.time_ns = time_ns, .stack = &run->known[index]};

	assert_true(ptf_vec_push(&run->marks, new));
	return &run->known[index];
}

static struct ptf_flow_item item(
        enum ptf_flow_kind kind, const char *to, uint64_t offset, uint64_t time_ns)
{
	struct ptf_flow_item new = {
	        .kind = (uint8_t)kind, .from = PTF_NO_IP, .to = PTF_NO_IP, .time_ns = time_ns};

	if (to) {
		new.to_function = script_function(to);
		new.to = new.to_function->address + offset;
		new.mid_entry = offset != 0;
	}
	return new;
}

/* A call from the call instruction in front of from+back. */
static struct ptf_flow_item call(const char *from, uint64_t back, const char *to, uint64_t time_ns)
{
	struct ptf_flow_item new = item(PTF_FLOW_CALL, to, 0, time_ns);

	new.from = script_function(from)->address + back - CALL_SIZE;
	new.insn_size = CALL_SIZE;
	return new;
}

/* Adds items as one fragment. */
static void add_fragment(struct run *run, const struct ptf_flow_item *items, size_t n)
{
	struct ptf_fragment_builder builder;
	struct ptf_fragment *fragment;
	int rc;

	ptf_fragment_builder_init(&builder, &run->rules);
	assert_int_equal(ptf_fragment_builder_begin(&builder, 1, 1, &life), 0);
	builder.marks = &run->marks;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ptf_fragment_builder_add(&builder, &items[i]), 0);
	fragment = ptf_fragment_builder_end(&builder, &rc);
	assert_non_null(fragment);
	assert_int_equal(ptf_stitch_add(&run->stitch, fragment), 0);
	ptf_fragment_destroy(fragment);
	ptf_fragment_builder_release(&builder);
}

#define ADD_FRAGMENT(run, ...)                                                                     \
	add_fragment(run, (const struct ptf_flow_item[]){__VA_ARGS__},                             \
	        sizeof((const struct ptf_flow_item[]){__VA_ARGS__}) /                              \
	                sizeof(struct ptf_flow_item))

static void main_a_b(struct ptf_known_stack *known)
{
	frame(known, "main", 0);
	frame(known, "a", 0x25);
	frame(known, "b", 0x15);
}

/* A thread that never runs is where it was found, from the beginning of its life on. */
static void test_idle_thread(void **state)
{
	struct run run;

	begin(&run);
	main_a_b(mark(&run, 0, 1030));
	finish_as(&run, "main c0 j0 p1 t0/0\n"
	                "main;a c0 j0 p1 t0/0\n"
	                "main;a;b c0 j0 p1 t0/0 syscall:100\n"
	                "known_stack:1 ");
}

/* Its system call ends, and returns find the frames that were there. */
static void test_returns_through_found_frames(void **state)
{
	struct run run;

	begin(&run);
	main_a_b(mark(&run, 0, 1000));
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, NULL, 0, 1005), item(PTF_FLOW_ON, "b", 0x80, 1010),
	        item(PTF_FLOW_RETURN, "a", 0x15, 1020), item(PTF_FLOW_RETURN, "main", 0x25, 1040),
	        item(PTF_FLOW_END, NULL, 0, 1090));
	finish_as(&run, "main c0 j0 p1 t0/0 on:60\n"
	                "main;a c0 j0 p1 t0/0 on:20\n"
	                "main;a;b c0 j0 p1 t0/0 on:10 syscall:10\n"
	                "known_stack:1 ");
}

/* Frames that returns would have to reveal one by one are there from the first item on. */
static const struct ptf_flow_item *middle(size_t *n)
{
	static struct ptf_flow_item items[8];

	items[0] = item(PTF_FLOW_SYNC, "b", 0x10, 1000);
	items[1] = call("b", 0x25, "c", 1010);
	items[2] = item(PTF_FLOW_RETURN, "b", 0x25, 1020);
	items[3] = item(PTF_FLOW_RETURN, "a", 0x15, 1030);
	items[4] = call("a", 0x35, "c", 1040);
	items[5] = item(PTF_FLOW_RETURN, "a", 0x35, 1050);
	items[6] = call("a", 0x45, "b", 1060);
	items[7] = call("b", 0x25, "c", 1070);
	*n = 8;
	return items;
}

/* The stack that is true at each time of `middle`. */
static void truth(struct ptf_known_stack *known, uint64_t time_ns)
{
	frame(known, "main", 0);
	frame(known, "a", 0x25);
	if (time_ns < 1030)
		frame(known, "b", 0x15);
	else if (time_ns >= 1060)
		frame(known, "b", 0x45);
	if ((time_ns >= 1010 && time_ns < 1020) || time_ns >= 1070)
		frame(known, "c", 0x25);
	else if (time_ns >= 1040 && time_ns < 1050)
		frame(known, "c", 0x35);
}

/* Wherever the mark stands and wherever segments are cut, the tree is `want`. */
static void assert_in_the_flow(const char *want)
{
	size_t n;
	const struct ptf_flow_item *items = middle(&n);

	for (uint64_t time_ns = 1005; time_ns < 1080; time_ns += 10) {
		for (size_t cut = 1; cut <= n; cut++) {
			struct run run;
			struct ptf_flow_item second[10] = {items[cut - 1]};
			char *text;

			begin(&run);
			truth(mark(&run, 0, time_ns), time_ns);
			add_fragment(&run, items, cut);
			second[0].kind = PTF_FLOW_SYNC;
			memcpy(second + 1, items + cut, (n - cut) * sizeof(*items));
			add_fragment(&run, second, n - cut + 1);
			text = finish(&run);
			assert_non_null(strstr(text, "known_stack:1 "));
			assert_null(strstr(text, "known_stack_anew"));
			*strstr(text, "known_stack") = '\0';
			if (strstr(text, "outer_frame"))
				*strstr(text, "outer_frame") = '\0';
			assert_string_equal(text, want);
			free(text);
		}
	}
}

/* All of it happened under main. */
static void test_in_the_flow(void **state)
{
	assert_in_the_flow("main c0 j0 p1 t0/0\n"
	                   "main;a c0 j0 p1 t0/0 on:20\n"
	                   "main;a;b c1 j0 p2 t0/0 on:30\n"
	                   "main;a;b;c c2 j0 p1 t1/10 on:40\n"
	                   "main;a;c c1 j0 p0 t1/10 on:10\n");
}

/* Also when one of the functions is watched, found below all others or above. */
static void test_watched_in_the_flow(void **state)
{
	script_watch("main");
	assert_in_the_flow("main#untimed c0 j0 p1 t0/0\n"
	                   "main#untimed;a c0 j0 p1 t0/0 on:20\n"
	                   "main#untimed;a;b c1 j0 p2 t0/0 on:30\n"
	                   "main#untimed;a;b;c c2 j0 p1 t1/10 on:40\n"
	                   "main#untimed;a;c c1 j0 p0 t1/10 on:10\n");
	script_watch("a");
	assert_in_the_flow("main c0 j0 p1 t0/0\n"
	                   "main;a#untimed c0 j0 p1 t0/0 on:20\n"
	                   "main;a#untimed;b c1 j0 p2 t0/0 on:30\n"
	                   "main;a#untimed;b;c c2 j0 p1 t1/10 on:40\n"
	                   "main;a#untimed;c c1 j0 p0 t1/10 on:10\n");
	script_watch("c");
	assert_in_the_flow("main c0 j0 p1 t0/0\n"
	                   "main;a c0 j0 p1 t0/0 on:20\n"
	                   "main;a;b c1 j0 p2 t0/0 on:30\n"
	                   "main;a;b;c#untimed c1 j0 p1 t0/0 on:30\n"
	                   "main;a;b;c#10 c1 j0 p0 t1/10 on:10\n"
	                   "main;a;c#10 c1 j0 p0 t1/10 on:10\n");
	script_watch(NULL);
}

/* The copy is right; what was believed before ends as after a gap. */
static void test_contradiction(void **state)
{
	struct run run;

	begin(&run);
	main_a_b(mark(&run, 0, 1035));
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, "main", 0x10, 1000), call("main", 0x25, "c", 1010),
	        call("c", 0x25, "b", 1030), item(PTF_FLOW_RETURN, "a", 0x15, 1040),
	        item(PTF_FLOW_RETURN, "main", 0x25, 1050));
	finish_as(&run, "main c0 j0 p2 t0/0 on:60\n"
	                "main;a c0 j0 p1 t0/0 on:10\n"
	                "main;a;b c0 j0 p1 t0/0 on:5\n"
	                "main;c c1 j0 p1 t0/0 on:20\n"
	                "main;c;b c1 j0 p1 t0/0 on:5\n"
	                "known_stack_anew:1 ");
}

/* An unwinder that gave up says nothing about the frames further out. */
static void test_copy_that_ends_early(void **state)
{
	struct ptf_known_stack *known;
	struct run run;

	begin(&run);
	known = mark(&run, 0, 1025);
	frame(known, "a", 0);
	frame(known, "b", 0x15);
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, "main", 0x10, 1000), call("main", 0x25, "a", 1010),
	        call("a", 0x15, "b", 1020), item(PTF_FLOW_END, NULL, 0, 1100));
	finish_as(&run, "main c0 j0 p1 t0/0 on:10\n"
	                "main;a c1 j0 p1 t0/0 on:10\n"
	                "main;a;b c1 j0 p1 t0/0 on:80\n"
	                "known_stack:1 ");
}

/* A handler returns to its restorer, whose sigreturn goes back to the interrupted code. */
static void handler_over_a(struct ptf_known_stack *known)
{
	struct ptf_frame *restorer;

	frame(known, "main", 0);
	frame(known, "a", 0x25);
	restorer = frame(known, "restorer", 0);
	restorer->async = restorer->restorer = true;
	restorer->ret = PTF_NO_RANGE;
	restorer->resume = at("a", 0x33);
	frame(known, "handler", 0);
}

static void test_inside_a_handler(void **state)
{
	struct run run;

	begin(&run);
	handler_over_a(mark(&run, 0, 1000));
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, "handler", 0x10, 1000),
	        item(PTF_FLOW_RETURN, "restorer", 0, 1020), item(PTF_FLOW_OFF, NULL, 0, 1030),
	        item(PTF_FLOW_ON, "a", 0x33, 1040), item(PTF_FLOW_RETURN, "main", 0x25, 1050));
	finish_as(&run, "main c0 j0 p1 t0/0 on:50\n"
	                "main;a c0 j0 p1 t0/0 on:10\n"
	                "main;a;restorer c0 j0 p1 t0/0 on:10 kernel:10\n"
	                "main;a;restorer;handler c0 j0 p1 t0/0 on:20\n"
	                "async_return:1 known_stack:1 ");
}

/* The same handler, seen from its entry on. */
static void test_copy_inside_a_seen_handler(void **state)
{
	struct ptf_flow_item off = item(PTF_FLOW_OFF, NULL, 0, 1010);
	struct run run;

	off.cause = PTF_CAUSE_ASYNC;
	off.from = script_function("a")->address + 0x33;
	begin(&run);
	handler_over_a(mark(&run, 0, 1030));
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, "a", 0x10, 1000), off,
	        item(PTF_FLOW_ON, "handler", 0, 1020), item(PTF_FLOW_END, NULL, 0, 1050));
	finish_as(&run, "main c0 j0 p1 t0/0\n"
	                "main;a c0 j0 p1 t0/0 on:10 interrupt:10\n"
	                "main;a;handler c1 j1 p1 t0/0 on:80\n"
	                "async_entry:1 known_stack:1 ");
}

/* Kernel code that is traced stands on the frames that the copy is of; a child has none of it. */
static void test_copy_while_in_the_kernel(void **state)
{
	static const struct ptf_function kernel = {.name = "do_fork",
	        .raw_name = "do_fork",
	        .module = "[kernel.kallsyms]",
	        .address = 0xffffffff81000000,
	        .size = 0x1000,
	        .id = 12,
	        .kind = PTF_FUNCTION_SYMBOL,
	        .kernel = true};
	struct ptf_frame in_kernel = {.function = &kernel,
	        .ret = PTF_NO_RANGE,
	        .resume = PTF_NO_RANGE,
	        .label = PTF_NO_RANGE,
	        .entry_ns = PTF_NO_TIME};
	struct ptf_known_stack child = {0};
	struct run run;

	begin(&run);
	main_a_b(mark(&run, 0, 1030));
	ADD_FRAGMENT(&run, item(PTF_FLOW_SYNC, "a", 0x10, 1000), call("a", 0x15, "b", 1010));
	assert_true(ptf_shadow_stack_push(&run.stitch.stack, in_kernel));
	assert_int_equal(ptf_known_stack_copy(&child, &run.stitch.stack), 0);
	assert_int_equal(child.frames.n, 2);
	ptf_known_stack_release(&child);
	finish_as(&run, "main c0 j0 p1 t0/0\n"
	                "main;a c0 j0 p1 t0/0 on:10\n"
	                "main;a;b c1 j0 p1 t0/0\n"
	                "main;a;b;do_fork c0 j0 p1 t0/0 kernel code:90\n"
	                "known_stack:1 ");
}

/* A child has what its parent's whole stack is at fork, which the parent's fragment hides. */
static void test_fork(void **state)
{
	struct ptf_flow_item off = item(PTF_FLOW_OFF, NULL, 0, 1030);
	struct run parent, child;

	off.cause = PTF_CAUSE_SYSCALL;
	off.from = script_function("b")->address + 0x30;
	begin(&parent);
	begin(&child);
	mark(&parent, 0, 1035);
	parent.marks.v[0].forks = true;
	parent.marks.v[0].stack = mark(&child, 0, 1035);
	child.known[0].parent = &parent.stitch.stack;
	ADD_FRAGMENT(&parent, item(PTF_FLOW_SYNC, "main", 0x10, 1000),
	        call("main", 0x25, "a", 1010), item(PTF_FLOW_END, NULL, 0, 1015));
	ADD_FRAGMENT(&parent, item(PTF_FLOW_SYNC, "a", 0x10, 1015), call("a", 0x15, "b", 1020), off,
	        item(PTF_FLOW_ON, "b", 0x32, 1040), item(PTF_FLOW_RETURN, "a", 0x15, 1050),
	        item(PTF_FLOW_RETURN, "main", 0x25, 1060));
	ADD_FRAGMENT(&child, item(PTF_FLOW_SYNC, NULL, 0, 1045), item(PTF_FLOW_ON, "b", 0x32, 1050),
	        item(PTF_FLOW_RETURN, "a", 0x15, 1060));
	finish_as(&child, "main c0 j0 p1 t0/0\n"
	                  "main;a c0 j0 p1 t0/0 on:40\n"
	                  "main;a;b c0 j0 p1 t0/0 on:10 syscall:50\n"
	                  "fork:1 ");
	finish_as(&parent, "main c0 j0 p1 t0/0 on:50\n"
	                   "main;a c1 j0 p0 t1/50 on:20\n"
	                   "main;a;b c1 j0 p0 t1/30 on:20 syscall:10\n");
}

/* The parent has not been heard of again when its child begins. */
static void test_fork_of_a_silent_parent(void **state)
{
	struct run parent, child;

	begin(&parent);
	begin(&child);
	mark(&parent, 0, 1020);
	parent.marks.v[0].forks = true;
	parent.marks.v[0].stack = mark(&child, 0, 1020);
	child.known[0].parent = &parent.stitch.stack;
	ADD_FRAGMENT(
	        &parent, item(PTF_FLOW_SYNC, "main", 0x10, 1000), call("main", 0x25, "a", 1010));
	ADD_FRAGMENT(
	        &child, item(PTF_FLOW_SYNC, NULL, 0, 1025), item(PTF_FLOW_ON, "a", 0x32, 1030));
	finish_as(&parent, "main c0 j0 p1 t0/0 on:10\n"
	                   "main;a c1 j0 p1 t0/0 on:90\n");
	finish_as(&child, "main c0 j0 p1 t0/0\n"
	                  "main;a c0 j0 p1 t0/0 on:70 syscall:30\n"
	                  "fork:1 ");
}

/* execve: the old stack ends in its system call, the new program's begins at its entry; wherever
 * the segment is cut. */
static void test_exec(void **state)
{
	struct ptf_flow_item off = item(PTF_FLOW_OFF, NULL, 0, 1020);
	struct ptf_flow_item items[] = {item(PTF_FLOW_SYNC, "main", 0x10, 1000),
	        call("main", 0x25, "a", 1010), off, item(PTF_FLOW_ON, "task", 0, 1050),
	        call("task", 0x15, "b", 1060), item(PTF_FLOW_RETURN, "task", 0x15, 1070)};
	const size_t n = sizeof(items) / sizeof(items[0]);

	items[2].cause = PTF_CAUSE_SYSCALL;
	items[2].from = script_function("a")->address + 0x30;
	for (size_t cut = 2; cut <= n; cut++) {
		struct ptf_flow_item second[8] = {items[cut - 1]};
		struct run run;

		begin(&run);
		mark(&run, 0, 1035);
		run.marks.v[0].execs = true;
		add_fragment(&run, items, cut);
		second[0].kind = PTF_FLOW_SYNC;
		memcpy(second + 1, items + cut, (n - cut) * sizeof(*items));
		add_fragment(&run, second, n - cut + 1);
		finish_as(&run, "main c0 j0 p1 t0/0 on:10\n"
		                "main;a c1 j0 p0 t1/40 on:10 syscall:30\n"
		                "task c1 j1 p1 t0/0 on:40\n"
		                "task;b c1 j0 p0 t1/10 on:10\n"
		                "exec:1 ");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_idle_thread),
	        cmocka_unit_test(test_returns_through_found_frames),
	        cmocka_unit_test(test_in_the_flow),
	        cmocka_unit_test(test_watched_in_the_flow),
	        cmocka_unit_test(test_contradiction),
	        cmocka_unit_test(test_copy_that_ends_early),
	        cmocka_unit_test(test_inside_a_handler),
	        cmocka_unit_test(test_copy_inside_a_seen_handler),
	        cmocka_unit_test(test_copy_while_in_the_kernel),
	        cmocka_unit_test(test_fork),
	        cmocka_unit_test(test_fork_of_a_silent_parent),
	        cmocka_unit_test(test_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
