/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile/calls_report.h"

static bool has_watched_caller(const struct ptf_call_node *node)
{
	while ((node = node->parent)) {
		if (node->function && node->function->watched)
			return true;
	}
	return false;
}

static bool add_node(struct ptf_calls_report *report, const struct ptf_call_node *node)
{
	report->calls += node->calls;
	report->partial_calls += node->partial_calls;
	/* A watched call has a slice; others are looked at more closely. */
	if (node->slice == PTF_SLICE_NONE && has_watched_caller(node))
		report->nested_calls += node->calls;
	return !node->times || ptf_call_times_merge(&report->times, &report->arena, node->times);
}

static bool add_thread(struct ptf_calls_report *report, const struct ptf_call_node *root)
{
	const struct ptf_call_node *node = root;
	unsigned up;

	while ((node = ptf_call_node_next(root, node, &up))) {
		if (node->function->watched && !add_node(report, node))
			return false;
	}
	return true;
}

static void name_functions(
        struct ptf_calls_report *report, const struct ptf_function_table *functions)
{
	uint32_t count = ptf_function_table_count(functions);

	for (uint32_t id = 0; id < count; id++) {
		const struct ptf_function *function = ptf_function_table_get(functions, id);

		if (!function->watched)
			continue;
		report->name = function->name;
		report->functions++;
	}
}

static int find_places(
        struct ptf_calls_report *report, const struct ptf_profile *profile, struct ptf_error *err)
{
	struct ptf_watch_slow slowest[PTF_SLOW_CALLS];
	size_t n = ptf_watch_slowest(profile, slowest);

	for (; report->n_slowest < n; report->n_slowest++) {
		struct ptf_calls_slow *slow = &report->slowest[report->n_slowest];

		slow->slow = slowest[report->n_slowest];
		if (ptf_time_places_init(&slow->places, profile, slow->slow.call->node, err) < 0)
			return -PTF_ENOMEM;
	}
	return 0;
}

int ptf_calls_report_init(
        struct ptf_calls_report *report, const struct ptf_profile *profile, struct ptf_error *err)
{
	int rc = 0;

	*report = (struct ptf_calls_report){0};
	for (size_t i = 0; i < profile->n_threads && rc == 0; i++) {
		if (!add_thread(report, &profile->threads[i].tree.root))
			rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	name_functions(report, profile->functions);
	if (rc == 0)
		rc = find_places(report, profile, err);
	if (rc < 0)
		ptf_calls_report_release(report);
	return rc;
}

void ptf_calls_report_release(struct ptf_calls_report *report)
{
	for (size_t i = 0; i < report->n_slowest; i++)
		ptf_time_places_release(&report->slowest[i].places);
	ptf_arena_release(&report->arena);
	*report = (struct ptf_calls_report){0};
}
