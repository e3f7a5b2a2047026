/* SPDX-License-Identifier: BSD-2-Clause */
/* The call tree: children, time by class, merging, walking; paths a million frames deep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/tests/stack_scripts.h"

static struct ptf_call_node *child(
        struct ptf_call_tree *tree, struct ptf_call_node *parent, const char *name)
{
	struct ptf_call_node *node = ptf_call_tree_child(tree, parent, script_function(name));

	assert_non_null(node);
	assert_ptr_equal(node->parent, parent);
	return node;
}

static void test_children(void **state)
{
	struct ptf_call_tree tree;
	struct ptf_call_node *a, *b, *c;

	ptf_call_tree_init(&tree);
	a = child(&tree, &tree.root, "a");
	b = child(&tree, &tree.root, "b");
	c = child(&tree, &tree.root, "c");
	assert_int_equal(tree.nodes, 3);
	assert_ptr_equal(child(&tree, &tree.root, "a"), a);
	assert_ptr_equal(child(&tree, &tree.root, "c"), c);
	assert_ptr_equal(child(&tree, &tree.root, "b"), b);
	assert_int_equal(tree.nodes, 3);
	/* Most recently used first. */
	assert_ptr_equal(tree.root.children, b);
	assert_ptr_equal(b->sibling, c);
	assert_ptr_equal(c->sibling, a);
	assert_null(a->sibling);
	/* The same function elsewhere is another node. */
	assert_ptr_not_equal(child(&tree, a, "a"), a);
	assert_int_equal(tree.nodes, 4);
	ptf_call_tree_release(&tree);
	ptf_call_tree_release(&tree);
}

static void test_every_class_has_its_state(void **state)
{
	uint64_t want[PTF_STATES] = {0}, states[PTF_STATES];
	struct ptf_call_tree tree;
	struct ptf_call_node *node;

	ptf_call_tree_init(&tree);
	node = child(&tree, &tree.root, "a");
	for (unsigned i = 0; i < PTF_TIME_CLASSES; i++) {
		assert_true(ptf_call_tree_add_time(&tree, node, i, i + 1));
		assert_true(ptf_call_tree_add_time(&tree, node, i, 100));
		assert_int_equal(ptf_call_node_time(node, i), i + 101);
		want[i == PTF_TIME_ON || i == PTF_TIME_FILTERED ? PTF_STATE_ON
		        : i <= PTF_TIME_KERNEL_CODE             ? PTF_STATE_KERNEL
		        : i == PTF_TIME_LOST                    ? PTF_STATE_LOST
		                                                : PTF_STATE_OFF] += i + 101;
	}
	ptf_call_node_states(node, states);
	assert_memory_equal(states, want, sizeof(want));
	ptf_call_node_states(&tree.root, states);
	memset(want, 0, sizeof(want));
	assert_memory_equal(states, want, sizeof(want));
	ptf_call_tree_release(&tree);
}

/* Places and reasons come back out of the class that they were put into. */
static void test_off_classes(void **state)
{
	bool taken[PTF_TIME_CLASSES] = {false};

	for (unsigned place = 0; place < PTF_PLACES; place++) {
		for (unsigned reason = 0; reason < PTF_OFF_REASONS; reason++) {
			unsigned class = ptf_time_class_off(
			        (enum ptf_place)place, (enum ptf_off_reason)reason);

			assert_in_range(class, PTF_TIME_OFF, PTF_TIME_CLASSES - 1);
			assert_false(taken[class]);
			taken[class] = true;
			assert_int_equal(ptf_time_class_place(class), place);
			assert_int_equal(ptf_time_class_reason(class), reason);
		}
	}
}

/* Every count and class is carried over, into nodes that are there and into new ones. */
static void test_merge(void **state)
{
	struct ptf_call_tree to, from;
	struct ptf_call_node *a, *b, *x;
	char *text;
	size_t size;
	FILE *out;

	ptf_call_tree_init(&to);
	ptf_call_tree_init(&from);
	a = child(&to, &to.root, "main");
	a->calls = 1;
	a->on_ns = 5;
	x = child(&to, a, "b");
	x->calls = 7;
	b = child(&from, &from.root, "a"); /* goes under main */
	b->calls = 2;
	b->jump_calls = 1;
	b->partial_calls = 3;
	for (unsigned i = 0; i < 4; i++)
		assert_true(ptf_call_tree_add_call(
		        &from, b, &(struct ptf_time_parts){.ns = {10, i, 1}}));
	b->insns = 6;
	b->on_ns = 70;
	assert_true(ptf_call_tree_add_time(&from, b, PTF_TIME_LOST, 8));
	b = child(&from, b, "c");
	b->calls = 9;
	b = child(&from, &from.root, "b");
	b->calls = 10;
	from.root.on_ns = 11;
	assert_true(ptf_call_tree_merge(&to, a, &from.root));
	assert_true(ptf_call_tree_merge(&to, a, &from.root));
	out = open_memstream(&text, &size);
	assert_non_null(out);
	script_print_tree(out, &to, true);
	fclose(out);
	assert_string_equal(text, "main c1 j0 p0 t0/0 i0 on:27\n"
	                          "main;a c4 j2 p6 t8/100 i12 on:140 lost:16\n"
	                          "main;a;c c18 j0 p0 t0/0 i0\n"
	                          "main;b c27 j0 p0 t0/0 i0\n"
	                          "(root) i0 on:0\n");
	free(text);
	ptf_call_tree_release(&to);
	ptf_call_tree_release(&from);
}

/* The slowest of many calls are kept, and what the others needed is used again. */
static void test_slow_calls(void **state)
{
	enum { CALLS = 100000 };
	struct ptf_call_tree tree;
	struct ptf_slow_calls *slow = NULL;
	size_t total_before = 0;

	ptf_call_tree_init(&tree);
	for (uint64_t i = 0; i < CALLS; i++) {
		struct ptf_call_node *node =
		        ptf_call_tree_open(&tree, &tree.root, script_function("a"));
		struct ptf_slow_call call = {.start_ns = i, .parts = {.ns = {i / 2, 1, i % 7}}};

		assert_non_null(node);
		assert_true(
		        ptf_call_tree_add_time(&tree, child(&tree, node, "b"), PTF_TIME_LOST, i));
		assert_true(ptf_call_tree_add_call(&tree, node, &call.parts));
		call.node = node;
		assert_true(ptf_slow_calls_add(&slow, &tree, &call));
		assert_true(ptf_call_tree_close(&tree, node, PTF_SLICE_FIRST + i % 20));
		if (i == 1000)
			total_before = tree.arena.total;
	}
	assert_int_equal(slow->n, PTF_SLOW_CALLS);
	for (size_t i = 0; i < PTF_SLOW_CALLS; i++) {
		const struct ptf_slow_call *call = &slow->v[i];

		/* i / 2 + i % 7 is largest for these, in this order */
		assert_true(call->start_ns >= CALLS - 24);
		assert_int_equal(
		        ptf_call_node_time(call->node->children, PTF_TIME_LOST), call->start_ns);
		if (i)
			assert_true(ptf_time_parts_sum(&call->parts) <=
			            ptf_time_parts_sum(&slow->v[i - 1].parts));
	}
	assert_int_equal(tree.nodes, 2 * 20 + 2 * PTF_SLOW_CALLS);
	assert_in_range(tree.arena.total, total_before, total_before + (512 << 10));
	ptf_slow_calls_drop(slow, &tree, &tree.root); /* none stands on it */
	assert_int_equal(slow->n, PTF_SLOW_CALLS);
	ptf_slow_calls_drop(slow, &tree, NULL);
	assert_int_equal(slow->n, 0);
	assert_int_equal(tree.nodes, 2 * 20);
	ptf_call_tree_release(&tree);
}

/* Depth first, each node once; `up` leads from level to level; a subtree ends with its top. */
static void test_walk(void **state)
{
	struct ptf_call_tree tree;
	struct ptf_call_node *a, *b;
	const struct ptf_call_node *node;
	char path[64] = "";
	unsigned up, depth = 0;

	ptf_call_tree_init(&tree);
	child(&tree, &tree.root, "handler");
	a = child(&tree, &tree.root, "a");
	child(&tree, a, "b");
	b = child(&tree, a, "c");
	child(&tree, b, "main");
	for (node = &tree.root; (node = ptf_call_node_next(&tree.root, node, &up));) {
		depth = depth + 1 - up;
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%u%s ", depth,
		        node->function->name);
	}
	assert_string_equal(path, "1a 2c 3main 2b 1handler ");
	path[0] = '\0';
	for (node = a; (node = ptf_call_node_next(a, node, &up));)
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s ",
		        node->function->name);
	assert_string_equal(path, "c main b ");
	ptf_call_tree_release(&tree);
}

/* No recursion anywhere: endless recursion in the program must not end us. */
static void test_a_million_frames(void **state)
{
	enum { DEPTH = 1000000 };
	struct ptf_call_tree tree, copy;
	struct ptf_call_node *node;
	const struct ptf_call_node *at;
	uint64_t calls = 0;
	unsigned up;

	ptf_call_tree_init(&tree);
	ptf_call_tree_init(&copy);
	node = &tree.root;
	for (unsigned i = 0; i < DEPTH; i++) {
		node = child(&tree, node, "a");
		node->calls = 1;
	}
	child(&tree, &tree.root, "b")->calls = 1;
	assert_true(ptf_call_tree_merge(&copy, &copy.root, &tree.root));
	for (at = &copy.root; (at = ptf_call_node_next(&copy.root, at, &up));)
		calls += at->calls;
	assert_int_equal(calls, DEPTH + 1);
	assert_int_equal(copy.nodes, DEPTH + 1);
	ptf_call_tree_release(&tree);
	ptf_call_tree_release(&copy);
}

static void test_prune(void **state)
{
	struct ptf_call_tree tree;
	struct ptf_call_node *blank, *kept, *leaf;

	ptf_call_tree_init(&tree);
	blank = ptf_call_tree_child(&tree, &tree.root, script_function("a"));
	for (unsigned i = 2; i < 100000; i++)
		blank = ptf_call_tree_child(&tree, blank, script_function(i % 2 ? "a" : "b"));
	kept = ptf_call_tree_child(&tree, &tree.root, script_function("b"));
	leaf = ptf_call_tree_child(&tree, kept, script_function("a"));
	leaf->partial_calls = 1;
	assert_non_null(ptf_call_tree_child(&tree, kept, script_function("c")));
	assert_non_null(ptf_call_tree_child(&tree, leaf, script_function("c")));
	ptf_call_tree_prune(&tree);
	assert_int_equal(tree.nodes, 2);
	assert_ptr_equal(tree.root.children, kept);
	assert_null(kept->sibling);
	assert_ptr_equal(kept->children, leaf);
	assert_null(leaf->sibling);
	assert_null(leaf->children);
	ptf_call_tree_prune(&tree);
	assert_int_equal(tree.nodes, 2);
	ptf_call_tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_children),
	        cmocka_unit_test(test_every_class_has_its_state),
	        cmocka_unit_test(test_off_classes),
	        cmocka_unit_test(test_merge),
	        cmocka_unit_test(test_slow_calls),
	        cmocka_unit_test(test_walk),
	        cmocka_unit_test(test_prune),
	        cmocka_unit_test(test_a_million_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
