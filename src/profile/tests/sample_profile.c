/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/tests/sample_profile.h"

#define NEED(x) sample_need((void *)(uintptr_t)(x), #x)

static void *sample_need(void *value, const char *what)
{
	if (!value) {
		fprintf(stderr, "sample profile: %s failed\n", what);
		abort();
	}
	return value;
}

struct ptf_profile *sample_profile_make(size_t n_threads)
{
	struct ptf_profile *profile = NEED(calloc(1, sizeof(*profile)));

	profile->window = (struct ptf_profile_window){.start_ns = 1000,
	        .end_ns = 2000,
	        .timed = true,
	        .switches = true,
	        .resolution_ns = 40};
	profile->decode = (struct ptf_profile_decode){.engine = "libipt", .seconds = 0.25};
	profile->functions = NEED(ptf_function_table_create());
	profile->n_threads = n_threads;
	profile->threads =
	        NEED(ptf_arena_alloc(&profile->arena, n_threads * sizeof(*profile->threads)));
	for (size_t i = 0; i < n_threads; i++) {
		ptf_call_tree_init(&profile->threads[i].tree);
		sample_thread(profile, i, 0, 0, "", "");
	}
	return profile;
}

struct ptf_profile_thread *sample_thread(struct ptf_profile *profile, size_t index, int pid,
        int tid, const char *comm, const char *process_comm)
{
	struct ptf_profile_thread *thread = &profile->threads[index];

	thread->pid = pid;
	thread->tid = tid;
	thread->comm = comm;
	thread->process_comm = process_comm;
	thread->start_ns = thread->end_ns = profile->window.start_ns;
	return thread;
}

const struct ptf_function *sample_function_of(
        struct ptf_profile *profile, const char *module, uint64_t address, const char *name)
{
	bool named = name[0] != '[';

	return NEED(ptf_function_table_intern(profile->functions, module, address, 16,
	        named ? PTF_FUNCTION_SYMBOL : PTF_FUNCTION_TARGET, named ? name : NULL, false));
}

/* The address is made of the name, so that a name stands for one function; "[app+0x12]" has its
 * own. */
const struct ptf_function *sample_function(struct ptf_profile *profile, const char *name)
{
	const char *plus = name[0] == '[' ? strstr(name, "+0x") : NULL;
	uint64_t address = plus ? strtoull(plus + 3, NULL, 16) : 0x1000;

	for (const char *c = name; !plus && *c; c++)
		address = (address * 31 + (unsigned char)*c) & 0xffffff;
	return sample_function_of(profile, "/usr/bin/app", address, name);
}

/* In a path '\1' stands for a ';' inside a name. */
struct ptf_call_node *sample_node(struct ptf_profile *profile, size_t thread, const char *path)
{
	struct ptf_call_tree *tree = &profile->threads[thread].tree;
	struct ptf_call_node *node = &tree->root;
	char *copy = NEED(strdup(path)), *rest = copy, *name;

	while ((name = strsep(&rest, ";"))) {
		if (!*name)
			continue;
		for (char *c = name; *c; c++)
			*c = *c == '\1' ? ';' : *c;
		node = NEED(ptf_call_tree_child(tree, node, sample_function(profile, name)));
	}
	free(copy);
	return node;
}

void sample_time(struct ptf_profile *profile, size_t thread, struct ptf_call_node *node,
        unsigned time_class, uint64_t ns)
{
	struct ptf_profile_thread *t = &profile->threads[thread];

	NEED(ptf_call_tree_add_time(&t->tree, node, time_class, ns));
	t->states[ptf_time_class_state(time_class)] += ns;
	t->end_ns += ns;
}

void sample_call(
        struct ptf_profile *profile, size_t thread, struct ptf_call_node *node, uint64_t ns)
{
	sample_call_of(profile, thread, node, &(struct ptf_time_parts){.ns = {[PTF_PART_ON] = ns}});
}

void sample_call_of(struct ptf_profile *profile, size_t thread, struct ptf_call_node *node,
        const struct ptf_time_parts *call)
{
	NEED(ptf_call_tree_add_call(&profile->threads[thread].tree, node, call));
	node->calls++;
}

/* Different nanoseconds for every class: 100, 101, 102... */
static void add_every_class(struct ptf_profile *profile, size_t thread, const char *path)
{
	struct ptf_call_node *node = sample_node(profile, thread, path);

	for (unsigned i = 0; i < PTF_TIME_CLASSES; i++)
		sample_time(profile, thread, node, i, 100 + i);
}

static void fill_server(struct ptf_profile *profile)
{
	struct ptf_call_node *node = sample_node(profile, 0, "main");

	sample_thread(profile, 0, 100, 100, "kv;node", "kvnode");
	node->calls = node->partial_calls = 1;
	sample_time(profile, 0, node, PTF_TIME_ON, 7);
	node = sample_node(profile, 0, "main;serve");
	sample_call(profile, 0, node, 300);
	sample_call_of(profile, 0, node, &(struct ptf_time_parts){.ns = {1, 350, 50}});
	sample_call(profile, 0, node, 500);
	node->jump_calls = 1;
	node->insns = 99;
	sample_time(profile, 0, node, PTF_TIME_ON, 1200);
	add_every_class(profile, 0, "main;serve;__libc_read");
	sample_time(profile, 0, sample_node(profile, 0, "main;[app+0x1a30]"), PTF_TIME_SYSCALL, 11);
	sample_time(profile, 0, sample_node(profile, 0, ""), PTF_TIME_ON, 5);
	sample_time(profile, 0, sample_node(profile, 0, ""), PTF_TIME_LOST, 3);
}

static void fill_strange_names(struct ptf_profile *profile)
{
	sample_thread(profile, 1, 100, 101, "io\nthd", "kvnode");
	sample_time(profile, 1, sample_node(profile, 1, "a<b>&\"'\1x"), PTF_TIME_ON, 21);
	sample_time(
	        profile, 1, sample_node(profile, 1, "bad\xff\xc3(\r\n\x1b]]>"), PTF_TIME_ON, 22);
	sample_time(profile, 1,
	        sample_node(profile, 1, "gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x94\xa5"),
	        PTF_TIME_ON, 23);
	sample_node(profile, 1, "never_timed")->calls = 2;
}

struct ptf_profile *sample_profile_full(void)
{
	struct ptf_profile *profile = sample_profile_make(3);

	profile->window.simulated = true;
	profile->window.dilation = 9.5;
	fill_server(profile);
	fill_strange_names(profile);
	sample_thread(profile, 2, 200, 200, "", "");
	sample_time(profile, 2, sample_node(profile, 2, "main"), PTF_TIME_ON, 13);
	return profile;
}

struct ptf_profile *sample_profile_deep(unsigned depth)
{
	struct ptf_profile *profile = sample_profile_make(1);
	struct ptf_call_tree *tree = &profile->threads[0].tree;
	const struct ptf_function *f = sample_function(profile, "f");
	struct ptf_call_node *node = &tree->root;

	sample_thread(profile, 0, 1, 1, "deep", "deep");
	for (unsigned i = 0; i < depth; i++)
		node = NEED(ptf_call_tree_child(tree, node, f));
	sample_time(profile, 0, node, PTF_TIME_ON, 1000);
	sample_time(profile, 0, tree->root.children, PTF_TIME_ON, 10);
	return profile;
}
