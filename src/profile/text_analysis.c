/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text is read twice: threads and window must be known before the first item is replayed.
 */
#include <string.h>

#include "base/log.h"
#include "profile/profile_builder.h"
#include "profile/text_analysis.h"
#include "profile/thread_filter.h"
#include "pt/perf_script_reader.h"

/* The thread of lines that name none. */
enum { NAMELESS_TID = 1 };

struct text_analysis {
	struct ptf_profile *profile;
	const struct ptf_analysis_options *options;
	struct ptf_timelines *timelines;
	struct ptf_thread_filter filter;
	struct ptf_slice_bounds slice;
	uint64_t start_ns, end_ns;      /* the window, or the slice of it */
	uint64_t now_ns;                /* of the last line with a time */
	struct ptf_slice_counts sliced; /* of the lines in the slice */
	struct ptf_thread_set threads;
	struct ptf_perf_script_counts counts;
};

int ptf_text_analysis_probe(const char *path)
{
	/* Standard input cannot be read twice: it is taken for a perf.data. */
	if (strcmp(path, "-") == 0)
		return 0;
	return ptf_perf_script_reader_probe(path, NULL) > 0;
}

/* Calls `take` for each item. */
static int read_items(struct text_analysis *a,
        int (*take)(
                struct text_analysis *a, struct ptf_perf_script_item *item, struct ptf_error *err),
        struct ptf_error *err)
{
	struct ptf_perf_script_reader *reader;
	struct ptf_perf_script_item item;
	int rc = ptf_perf_script_reader_create(
	        &reader, a->options->input, a->profile->functions, err);

	if (rc < 0)
		return rc;
	while ((rc = ptf_perf_script_reader_next(reader, &item, err)) == 0) {
		if (item.tid < 0)
			item.pid = item.tid = NAMELESS_TID;
		rc = take(a, &item, err);
		if (rc < 0)
			break;
	}
	a->counts = *ptf_perf_script_reader_counts(reader);
	ptf_perf_script_reader_destroy(reader);
	return rc < 0 ? rc : 0;
}

static int meet_thread(
        struct text_analysis *a, struct ptf_perf_script_item *item, struct ptf_error *err)
{
	struct ptf_record record = {.type = PTF_RECORD_COMM,
	        .sid = {.time_ns = item->item.time_ns,
	                .has_time = item->item.time_ns != PTF_NO_TIME},
	        .comm = {.pid = item->pid < 0 ? item->tid : item->pid, .tid = item->tid}};

	if (item->tid <= 0)
		return 0;
	record.comm.comm = item->comm;
	return ptf_timelines_add(a->timelines, &record, err);
}

static int replay_item(
        struct text_analysis *a, struct ptf_perf_script_item *item, struct ptf_error *err)
{
	struct ptf_stitch *stitch;
	int rc;

	if (item->item.time_ns != PTF_NO_TIME)
		a->now_ns = item->item.time_ns;
	if (a->now_ns >= a->slice.to_ns)
		return 0;
	if (a->now_ns >= a->slice.from_ns)
		ptf_slice_counts_item(&a->sliced, &item->item);
	if (item->tid <= 0 || !ptf_thread_filter_passes_tid(&a->filter, item->tid))
		return 0;
	stitch = ptf_thread_set_at(&a->threads, item->tid, item->item.time_ns, &rc);
	if (stitch) {
		stitch->stack.muted = a->now_ns < a->slice.from_ns;
		rc = ptf_stitch_item(stitch, &item->item);
	}
	return rc < 0 ? ptf_error_set(err, PTF_ENOMEM, "out of memory") : 0;
}

static void fill_profile(struct text_analysis *a)
{
	struct ptf_profile_decode *decode = &a->profile->decode;
	const struct ptf_perf_script_counts *counts = &a->counts;

	a->profile->window.timed = counts->has_time;
	a->profile->window.start_ns = a->start_ns;
	a->profile->window.end_ns = a->end_ns;
	decode->engine = "perf-script";
	decode->calls = a->sliced.calls;
	decode->returns = a->sliced.returns;
	decode->overflows = a->sliced.overflows;
	decode->errors = a->sliced.errors;
	for (size_t i = 0; i < a->profile->n_threads; i++)
		decode->lost_ns += a->profile->threads[i].states[PTF_STATE_LOST];
	if (counts->unreadable)
		ptf_log(PTF_LOG_WARN, "%s: %llu lines were not understood, the first is line %llu",
		        a->options->input, (unsigned long long)counts->unreadable,
		        (unsigned long long)counts->first_unreadable);
	if (counts->incomplete)
		ptf_log(PTF_LOG_WARN,
		        "%s: %llu branches without flags or target were not used, the first in "
		        "line "
		        "%llu: print them with -F +flags,+addr",
		        a->options->input, (unsigned long long)counts->incomplete,
		        (unsigned long long)counts->first_incomplete);
}

static bool fill_stats(struct text_analysis *a)
{
	const struct ptf_perf_script_counts *counts = &a->counts;

	return ptf_profile_add_stat(a->profile, "lines", "lines of text", counts->lines) &&
	       ptf_profile_add_stat(
	               a->profile, "branches", "lines that show a branch", counts->branches) &&
	       ptf_profile_add_stat(a->profile, "other_events", "lines of other events, skipped",
	               counts->events) &&
	       ptf_profile_add_stat(a->profile, "unreadable", "lines that were not understood",
	               counts->unreadable) &&
	       ptf_profile_add_rules(a->profile, &a->threads.rules);
}

static int analyse(struct text_analysis *a, struct ptf_error *err)
{
	int rc = read_items(a, meet_thread, err);

	if (rc == 0 && a->counts.branches == a->counts.incomplete)
		return ptf_error_set(err, PTF_ENODATA,
		        "%s: no branch with flags and target in this text: print it with "
		        "`perf script --itrace=cr -F +flags,+addr'",
		        a->options->input);
	a->start_ns = a->counts.first_ns;
	a->end_ns = a->counts.last_ns;
	if (rc == 0)
		rc = ptf_time_slice_clip(&a->options->slice, a->counts.has_time, &a->start_ns,
		        &a->end_ns, &a->slice, err);
	if (rc == 0)
		rc = ptf_timelines_freeze(a->timelines, a->start_ns, a->end_ns, err);
	if (rc == 0)
		rc = ptf_thread_filter_init(
		        &a->filter, a->options->tid, a->options->comm, a->timelines, err);
	if (rc == 0)
		rc = ptf_thread_set_init(
		        &a->threads, a->timelines, NULL, a->counts.has_time, &a->slice, err);
	if (a->options->slice.instant)
		a->threads.at_ns = a->start_ns + a->options->slice.to_ns - 1;
	if (rc == 0)
		rc = read_items(a, replay_item, err);
	if (rc == 0)
		rc = ptf_thread_set_finish(&a->threads, a->profile, &a->filter, err);
	if (rc < 0)
		return rc;
	fill_profile(a);
	if (!fill_stats(a))
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	return 0;
}

int ptf_text_analysis_run(struct ptf_profile *profile, const struct ptf_analysis_options *options,
        struct ptf_error *err)
{
	struct text_analysis a = {.profile = profile, .options = options};
	int rc;

	a.timelines = ptf_timelines_create();
	if (!a.timelines)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	rc = analyse(&a, err);
	ptf_thread_set_release(&a.threads);
	ptf_thread_filter_release(&a.filter);
	ptf_timelines_destroy(a.timelines);
	return rc;
}
