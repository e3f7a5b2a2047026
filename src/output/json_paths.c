/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/json_paths.h"

#include <stdlib.h>
#include <string.h>

#include "output/output_text.h"

/* Frames of a stack that are written: recursion can be a million deep, and each path names all of
 * its frames. */
enum { MOST_FRAMES = 1000 };

/* The empty stack is a path of its own, "[unknown]". */
static bool add_empty_stack(
        struct ptf_call_tree *joined, const struct ptf_profile *profile, struct ptf_call_node root)
{
	struct ptf_call_node *unknown;

	if (!root.on_ns && !root.other_ns && !root.insns)
		return true;
	root.children = NULL;
	unknown = ptf_call_tree_child(
	        joined, &joined->root, ptf_function_table_unknown(profile->functions));
	return unknown && ptf_call_tree_merge(joined, unknown, &root);
}

/* All threads' trees in one. */
static bool join_trees(struct ptf_call_tree *joined, const struct ptf_profile *profile)
{
	for (size_t i = 0; i < profile->n_threads; i++) {
		const struct ptf_call_node *root = &profile->threads[i].tree.root;

		if (!ptf_call_tree_merge(joined, &joined->root, root) ||
		        !add_empty_stack(joined, profile, *root))
			return false;
	}
	return true;
}

/* A node of the tree, by its number in a walk; the root is 0. */
struct path {
	size_t parent; /* number */
	unsigned depth;
	uint64_t states[PTF_STATES]; /* ns in the subtree */
};

static void note_paths(struct path *paths, const struct ptf_call_tree *tree)
{
	const struct ptf_call_node *node = &tree->root;
	size_t number = 0;
	unsigned up;

	for (size_t at = 0; (node = ptf_call_node_next(&tree->root, node, &up)); at = number) {
		for (; up; up--)
			at = paths[at].parent;
		number++;
		paths[number].parent = at;
		paths[number].depth = paths[at].depth + 1;
		ptf_call_node_states(node, paths[number].states);
	}
	for (; number > 0; number--) {
		struct path *parent = &paths[paths[number].parent];

		for (unsigned s = 0; s < PTF_STATES; s++)
			parent->states[s] += paths[number].states[s];
	}
}

static json_t *name_json(const struct ptf_function *function)
{
	struct ptf_text text = {0};
	json_t *name;

	ptf_text_append_clean(&text, function->name);
	name = json_string(ptf_text_string(&text));
	ptf_text_release(&text);
	return name;
}

/* The names of the innermost frames, the outermost of these first. */
static json_t *stack_json(const struct ptf_call_node *node, unsigned depth)
{
	const struct ptf_call_node *frames[MOST_FRAMES];
	unsigned n = depth < MOST_FRAMES ? depth : MOST_FRAMES;
	json_t *stack = json_array();

	for (unsigned i = n; i-- > 0; node = node->parent)
		frames[i] = node;
	for (unsigned i = 0; stack && i < n; i++)
		stack = ptf_json_append(stack, name_json(frames[i]->function));
	return stack;
}

static json_t *path_json(const struct ptf_call_node *node, const struct path *path, bool timed)
{
	static const struct ptf_call_times none;
	const struct ptf_call_times *times = node->times ? node->times : &none;
	struct ptf_json object = ptf_json_make();
	uint64_t self[PTF_STATES];

	ptf_call_node_states(node, self);
	ptf_json_set(&object, "stack", stack_json(node, path->depth));
	ptf_json_set_int(&object, "depth", path->depth);
	ptf_json_set_int(&object, "calls", node->calls);
	ptf_json_set_int(&object, "jump_calls", node->jump_calls);
	ptf_json_set_int(&object, "partial_calls", node->partial_calls);
	ptf_json_set_int(&object, "timed_calls", times->total.count);
	ptf_json_set_int(&object, "instructions", node->insns);
	ptf_json_set_states(&object, self, path->states, timed);
	ptf_json_set_times(&object, times, timed);
	return ptf_json_finish(&object);
}

static bool write_paths(
        const struct ptf_call_tree *tree, const struct path *paths, bool timed, FILE *out)
{
	const struct ptf_call_node *node = &tree->root;
	size_t number = 0;
	unsigned up;

	while ((node = ptf_call_node_next(&tree->root, node, &up))) {
		json_t *json = path_json(node, &paths[++number], timed);

		if (!json)
			return false;
		fputs(number > 1 ? ",\n  " : "\n  ", out);
		json_dumpf(json, out, JSON_COMPACT);
		json_decref(json);
	}
	return true;
}

int ptf_json_write_with_paths(struct ptf_json *object, const struct ptf_profile *profile, FILE *out,
        struct ptf_error *err)
{
	json_t *json = ptf_json_finish(object);
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	struct ptf_call_tree joined;
	struct path *paths = NULL;
	bool ok;

	json_decref(json);
	ptf_call_tree_init(&joined);
	ok = text && join_trees(&joined, profile);
	if (ok)
		paths = calloc(joined.nodes + 1, sizeof(*paths));
	ok = ok && paths;
	if (ok) {
		note_paths(paths, &joined);
		/* All but the end, "\n}". */
		fwrite(text, 1, strlen(text) - 2, out);
		fputs(",\n \"paths\": [", out);
		ok = write_paths(&joined, paths, profile->window.timed, out);
		fputs("\n ]\n}\n", out);
	}
	free(text);
	free(paths);
	ptf_call_tree_release(&joined);
	return ptf_output_finish(out, ok, err);
}
