/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profile/profile_view.h"
#include "profile/syscall_name.h"
#include "profile/tests/sample_profile.h"

static struct ptf_profile_view make_view(
        const struct ptf_profile *profile, struct ptf_view_options options)
{
	struct ptf_profile_view view;

	assert_int_equal(ptf_profile_view_init(&view, profile, &options, NULL), 0);
	return view;
}

/* The node of a path of names below a node, "main/work". */
static const struct ptf_view_node *find(const struct ptf_view_node *node, const char *path)
{
	char *copy = strdup(path), *rest = copy, *name;

	while (node && (name = strsep(&rest, "/"))) {
		node = node->children;
		while (node && strcmp(node->name, name) != 0)
			node = node->sibling;
	}
	free(copy);
	return node;
}

static uint64_t self_of(const struct ptf_profile_view *view, const char *path)
{
	const struct ptf_view_node *node = find(view->root, path);

	if (!node)
		fail_msg("no node %s", path);
	return node->self;
}

static uint64_t state_sum(const struct ptf_profile *profile, enum ptf_time_state state)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < profile->n_threads; i++)
		sum += profile->threads[i].states[state];
	return sum;
}

static void totals_add_up_and_children_are_sorted(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_profile_view view = make_view(profile, (struct ptf_view_options){0});
	const struct ptf_view_node *node = view.root;
	uint64_t nodes = 0, selfs = 0;
	unsigned up;

	while ((node = ptf_view_node_next(view.root, node, &up))) {
		uint64_t below = 0;

		for (const struct ptf_view_node *c = node->children; c; c = c->sibling) {
			assert_ptr_equal(c->parent, node);
			below += c->total;
			if (c->sibling)
				assert_true(strcmp(c->name, c->sibling->name) < 0);
		}
		assert_int_equal(node->total, node->self + below);
		nodes++;
		selfs += node->self;
	}
	assert_int_equal(nodes, view.nodes);
	assert_int_equal(selfs, view.root->total);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void every_class_has_its_frame(void **state)
{
	static const char *const places[] = {
	        "", "/syscall:read_[k]", "/[interrupt]_[k]", "/[kernel]_[k]", "/[filtered]"};
	static const char *const reasons[] = {
	        "[blocked]", "[preempted]", "[yielded]", "[runqueue]", "[off]", "[recorder]"};
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_profile_view view = make_view(profile, (struct ptf_view_options){0});
	char path[128];

	for (unsigned place = 0; place < PTF_PLACES; place++) {
		snprintf(path, sizeof(path), "kv;node/main/serve/__libc_read%s", places[place]);
		/* Code of the kernel has frames of its own, like user code. */
		assert_int_equal(self_of(&view, path),
		        100 + ptf_time_class_running(place) +
		                (place == PTF_PLACE_USER ? 100 + PTF_TIME_KERNEL_CODE : 0));
		for (unsigned reason = 0; reason < PTF_OFF_REASONS; reason++) {
			snprintf(path, sizeof(path), "kv;node/main/serve/__libc_read%s/%s",
			        places[place], reasons[reason]);
			assert_int_equal(
			        self_of(&view, path), 100 + ptf_time_class_off(place, reason));
		}
	}
	assert_int_equal(
	        self_of(&view, "kv;node/main/serve/__libc_read/[lost]"), 100 + PTF_TIME_LOST);
	assert_int_equal(self_of(&view, "kv;node/main/[app+0x1a30]/[kernel]_[k]"), 11);
	assert_int_equal(self_of(&view, "kv;node/[unknown]"), 5);
	assert_int_equal(self_of(&view, "kv;node/[unknown]/[lost]"), 3);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void weights_split_the_wall_clock(void **state)
{
	static const struct {
		enum ptf_view_weight weight;
		enum ptf_time_state state;
	} parts[] = {{PTF_WEIGHT_ON, PTF_STATE_ON}, {PTF_WEIGHT_KERNEL, PTF_STATE_KERNEL},
	        {PTF_WEIGHT_OFF, PTF_STATE_OFF}};
	struct ptf_profile *profile = sample_profile_full();
	uint64_t wall = state_sum(profile, PTF_STATE_LOST);
	struct ptf_profile_view view;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		view = make_view(profile, (struct ptf_view_options){.weight = parts[i].weight});
		assert_int_equal(view.root->total, state_sum(profile, parts[i].state));
		wall += view.root->total;
		ptf_profile_view_release(&view);
	}
	view = make_view(profile, (struct ptf_view_options){.weight = PTF_WEIGHT_WALL});
	assert_int_equal(view.root->total, wall);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void calls_and_instructions_have_no_pseudo_frames(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_profile_view view =
	        make_view(profile, (struct ptf_view_options){.weight = PTF_WEIGHT_CALLS});

	assert_int_equal(self_of(&view, "kv;node/main"), 1);
	assert_int_equal(self_of(&view, "kv;node/main/serve"), 3);
	assert_null(find(view.root, "kv;node/main/serve/__libc_read/[lost]"));
	assert_int_equal(view.root->total, 1 + 3 + 2);
	ptf_profile_view_release(&view);

	view = make_view(profile, (struct ptf_view_options){.weight = PTF_WEIGHT_INSNS});
	assert_int_equal(self_of(&view, "kv;node/main/serve"), 99);
	assert_int_equal(view.root->total, 99);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void times_without_timing_are_instructions(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_profile_view view;

	profile->window.timed = false;
	view = make_view(profile, (struct ptf_view_options){.weight = PTF_WEIGHT_WALL});
	assert_int_equal(view.weight, PTF_WEIGHT_INSNS);
	assert_int_equal(view.root->total, 99);
	ptf_profile_view_release(&view);
	view = make_view(profile, (struct ptf_view_options){.weight = PTF_WEIGHT_CALLS});
	assert_int_equal(view.weight, PTF_WEIGHT_CALLS);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void without_switches_kernel_time_may_be_off(void **state)
{
	struct ptf_profile *profile = sample_profile_make(1);
	struct ptf_profile_view view;

	profile->window.switches = false;
	sample_thread(profile, 0, 5, 5, "app", "app");
	sample_time(profile, 0, sample_node(profile, 0, "main;read"), PTF_TIME_SYSCALL, 10);
	sample_time(profile, 0, sample_node(profile, 0, "main;read"), PTF_TIME_INTERRUPT, 4);
	sample_time(profile, 0, sample_node(profile, 0, "main;read"), PTF_TIME_FILTERED, 3);
	view = make_view(profile, (struct ptf_view_options){0});
	assert_int_equal(self_of(&view, "app/main/read/[kernel+off]_[k]"), 14);
	assert_int_equal(self_of(&view, "app/main/read/[filtered]"), 3);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void labels_group_threads(void **state)
{
	struct ptf_profile *profile = sample_profile_make(3);
	struct ptf_profile_view view;

	sample_thread(profile, 0, 10, 10, "worker", "server");
	sample_thread(profile, 1, 10, 11, "worker", "server");
	sample_thread(profile, 2, 20, 20, "", "");
	for (size_t i = 0; i < 3; i++)
		sample_time(profile, i, sample_node(profile, i, "main"), PTF_TIME_ON, 1 << i);

	view = make_view(profile, (struct ptf_view_options){.by = PTF_BY_COMM});
	assert_int_equal(self_of(&view, "worker/main"), 3);
	assert_int_equal(self_of(&view, ":20/main"), 4);
	ptf_profile_view_release(&view);

	view = make_view(profile, (struct ptf_view_options){.by = PTF_BY_THREAD});
	assert_string_equal(view.root->children->name, ":20-20/20");
	assert_string_equal(view.root->children->sibling->name, "worker-10/10");
	assert_int_equal(view.root->children->sibling->total, 1);
	assert_string_equal(view.root->children->sibling->sibling->name, "worker-10/11");
	ptf_profile_view_release(&view);

	view = make_view(profile, (struct ptf_view_options){.by = PTF_BY_PROCESS});
	assert_int_equal(self_of(&view, "server-10/main"), 3);
	assert_int_equal(self_of(&view, ":20-20/main"), 4);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

/* Two static functions of one name: one frame, since a reader of the picture cannot tell them
 * apart. */
static void same_names_share_a_frame(void **state)
{
	struct ptf_profile *profile = sample_profile_make(1);
	struct ptf_call_tree *tree = &profile->threads[0].tree;
	const struct ptf_function *b = sample_function_of(profile, "/lib/b.so", 0x10, "init");
	const struct ptf_function *a = sample_function_of(profile, "/lib/a.so", 0x20, "init");
	const struct ptf_view_node *node;
	struct ptf_profile_view view;

	sample_thread(profile, 0, 1, 1, "app", "app");
	sample_time(profile, 0, ptf_call_tree_child(tree, &tree->root, b), PTF_TIME_ON, 1);
	sample_time(profile, 0, ptf_call_tree_child(tree, &tree->root, a), PTF_TIME_ON, 2);
	view = make_view(profile, (struct ptf_view_options){0});
	node = find(view.root, "app/init");
	assert_int_equal(node->self, 3);
	assert_null(node->sibling);
	assert_ptr_equal(node->function, a);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void a_million_frames_need_no_stack(void **state)
{
	enum { DEPTH = 1000000 };
	struct ptf_profile *profile = sample_profile_deep(DEPTH);
	struct ptf_profile_view view = make_view(profile, (struct ptf_view_options){0});
	const struct ptf_view_node *node = view.root;
	unsigned depth = 0, up;

	while ((node = ptf_view_node_next(view.root, node, &up)))
		depth += 1 - up;
	assert_int_equal(depth, DEPTH + 1);
	assert_int_equal(view.nodes, DEPTH + 1);
	assert_int_equal(view.root->total, 1010);
	ptf_profile_view_release(&view);
	ptf_profile_destroy(profile);
}

static void system_calls_are_named_after_their_wrappers(void **state)
{
	static const struct {
		const char *symbol, *module, *call; /* call NULL: no wrapper */
	} cases[] = {
	        {"read", "/usr/lib/libc.so.6", "read"},
	        {"__libc_read", "/bin/app", "read"},
	        {"__GI___libc_write", "/usr/lib/libc.so.6", "write"},
	        {"__write_nocancel", "/usr/lib/libc.so.6", "write"},
	        {"epoll_wait@plt", "/bin/app", "epoll_wait"},
	        {"epoll_wait@@GLIBC_2.3.2", "/usr/lib/libc.so.6", "epoll_wait"},
	        {"open64", "/usr/lib/libc.so.6", "open"},
	        {"pread64", "/usr/lib/libc.so.6", "pread64"},
	        {"__pread64_chk", "/usr/lib/libc.so.6", "pread64"},
	        {"__lll_lock_wait_private", "/bin/static", "futex"},
	        {"__futex_abstimed_wait_common64", "/usr/lib/libc.so.6", "futex"},
	        {"pthread_cond_wait", "/usr/lib/libc.so.6", "futex"},
	        {"do_futex_wait.constprop.0", "/usr/lib/libpthread.so.0", "futex"},
	        {"__vdso_clock_gettime", "[vdso]", "clock_gettime"},
	        {"runtime.futex", "/bin/go", "futex"},
	        {"send", "/usr/lib/libc.so.6", "sendto"},
	        {"getaddrinfo_a", "/usr/lib/libc.so.6", "getaddrinfo_a"},
	        {"main", "/bin/app", NULL},
	        {"do_work.cold", "/bin/app", NULL},
	        {"std::vector<int>::push_back", "/bin/app", NULL},
	        {"__", "/usr/lib/libc.so.6", NULL},
	        {".0", "/usr/lib/libc.so.6", NULL},
	        {"[app+0x10]", "/usr/lib/libc.so.6", NULL},
	};
	struct ptf_profile *profile = sample_profile_make(0);
	char name[PTF_SYSCALL_NAME_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct ptf_function *f =
		        sample_function_of(profile, cases[i].module, 0x40 + i, cases[i].symbol);
		bool found = ptf_syscall_name(f, name);

		if (found != (cases[i].call != NULL))
			fail_msg("%s: %s", cases[i].symbol, found ? name : "no name");
		if (found)
			assert_string_equal(name, cases[i].call);
	}
	assert_false(ptf_syscall_name(ptf_function_table_unknown(profile->functions), name));
	assert_false(ptf_syscall_name(NULL, name));
	ptf_profile_destroy(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(totals_add_up_and_children_are_sorted),
	        cmocka_unit_test(every_class_has_its_frame),
	        cmocka_unit_test(weights_split_the_wall_clock),
	        cmocka_unit_test(calls_and_instructions_have_no_pseudo_frames),
	        cmocka_unit_test(times_without_timing_are_instructions),
	        cmocka_unit_test(without_switches_kernel_time_may_be_off),
	        cmocka_unit_test(labels_group_threads),
	        cmocka_unit_test(same_names_share_a_frame),
	        cmocka_unit_test(a_million_frames_need_no_stack),
	        cmocka_unit_test(system_calls_are_named_after_their_wrappers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
