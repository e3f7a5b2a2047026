/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread_pool.h"
#include "profile/analysis.h"
#include "profile/profile_builder.h"
#include "profile/segment_worker.h"
#include "profile/slice_plan.h"
#include "profile/text_analysis.h"
#include "profile/watch.h"
#include "profile/thread_filter.h"

static const char DEFAULT_ENGINE[] = "fast";

struct analysis {
	const struct ptf_analysis_options *options;
	struct ptf_recording recording;
	struct ptf_thread_filter filter;
	struct ptf_slice_plan plan;
	struct ptf_profile *profile;
	struct ptf_thread_set threads;
	struct ptf_segment_worker *workers; /* n_workers */
	unsigned n_workers;
	const struct ptf_aux_segment **order; /* n_order segments by start time */
	size_t n_order;
	struct ptf_fragments pending;           /* not stitched yet, by start time */
	struct ptf_engine_counts engine_counts; /* of all workers: all that was decoded */
	struct ptf_slice_counts counts;         /* of all workers: what lies in the slice */
	uint64_t done_bytes, total_bytes;
	uint64_t strangers; /* fragments of threads that no record names */
};

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory");
}

/* ---- order ---- */

static int compare_segments(const void *a, const void *b)
{
	const struct ptf_aux_segment *x = *(const struct ptf_aux_segment *const *)a;
	const struct ptf_aux_segment *y = *(const struct ptf_aux_segment *const *)b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static bool wanted(const struct analysis *a, const struct ptf_aux_stream *stream)
{
	return stream->cpu >= 0 || ptf_thread_filter_passes_tid(&a->filter, stream->tid);
}

/* A segment never begins before the one in front of it in its stream. */
static void mend_start_times(struct ptf_aux_streams *streams)
{
	uint64_t floor_ns = 0;

	ptf_vec_foreach (segment, &streams->segments) {
		if (!segment->number)
			floor_ns = 0;
		if (segment->start_ns == PTF_NO_TIME || segment->start_ns < floor_ns)
			segment->start_ns = floor_ns;
		floor_ns = segment->start_ns;
	}
}

/* Segments in time order over all streams, those of a stream never out of its own order. */
static int order_segments(struct analysis *a, struct ptf_error *err)
{
	struct ptf_aux_streams *streams = &a->recording.streams;
	size_t n = streams->segments.n;

	if (a->recording.timed)
		mend_start_times(streams);
	a->order = calloc(n + 1, sizeof(struct ptf_aux_segment *));
	if (!a->order || ptf_slice_plan_init(&a->plan, &a->recording) < 0)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const struct ptf_aux_segment *segment = &streams->segments.v[i];

		if (!a->plan.needed[i] || !wanted(a, &streams->streams.v[segment->stream]))
			continue;
		a->order[a->n_order++] = segment;
		a->total_bytes += segment->next_psb;
	}
	qsort(a->order, a->n_order, sizeof(struct ptf_aux_segment *), compare_segments);
	return 0;
}

/* ---- jobs ---- */

static void *work(void *context, unsigned worker, size_t job)
{
	struct analysis *a = context;

	return ptf_segment_worker_run(&a->workers[worker], a->order[job], job);
}

static void drop(void *context, void *result)
{
	(void)context;
	ptf_segment_result_destroy(result);
}

/* Is something between this fragment and the slice not decoded? */
static bool is_stale(const struct analysis *a, const struct ptf_fragment *fragment)
{
	const struct ptf_aux_segment *segment = a->order[fragment->order];

	return a->recording.streams.streams.v[segment->stream].cpu >= 0 &&
	       fragment->start_ns < ptf_slice_plan_since(&a->plan, fragment->tid);
}

static int stitch_fragment(struct analysis *a, struct ptf_fragment *fragment)
{
	struct ptf_stitch *stitch;
	int rc;

	if (is_stale(a, fragment))
		return 0;
	stitch = ptf_thread_set_at(&a->threads, fragment->tid, fragment->start_ns, &rc);
	if (!stitch) {
		a->strangers += rc == 0;
		return rc;
	}
	return ptf_stitch_add(stitch, fragment);
}

static bool before(const struct ptf_fragment *x, const struct ptf_fragment *y)
{
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns;
	return x->order < y->order;
}

static bool put_pending(struct analysis *a, struct ptf_fragment *fragment)
{
	size_t i;

	if (!ptf_vec_push(&a->pending, fragment))
		return false;
	/* Nearly sorted input: the new one belongs at or near the end. */
	for (i = a->pending.n - 1; i > 0 && before(fragment, a->pending.v[i - 1]); i--)
		a->pending.v[i] = a->pending.v[i - 1];
	a->pending.v[i] = fragment;
	return true;
}

/* Stitches what cannot be preceded by a fragment that is still to come. */
static int stitch_ready(struct analysis *a, uint64_t next_start)
{
	size_t n = 0;
	int rc = 0;

	for (; n < a->pending.n && rc == 0 && a->pending.v[n]->start_ns <= next_start; n++) {
		rc = stitch_fragment(a, a->pending.v[n]);
		ptf_fragment_destroy(a->pending.v[n]);
	}
	a->pending.n -= n;
	memmove(a->pending.v, a->pending.v + n, a->pending.n * sizeof(struct ptf_fragment *));
	return rc;
}

static int done(void *context, size_t job, void *arg)
{
	struct ptf_segment_result *result = arg;
	struct analysis *a = context;
	uint64_t next = job + 1 < a->n_order ? a->order[job + 1]->start_ns : PTF_NO_TIME;
	int rc = result ? result->rc : -PTF_ENOMEM;

	for (size_t i = 0; rc == 0 && i < result->fragments.n; i++) {
		if (!put_pending(a, result->fragments.v[i]))
			rc = -PTF_ENOMEM;
		else
			result->fragments.v[i] = NULL;
	}
	ptf_segment_result_destroy(result);
	if (rc == 0)
		rc = stitch_ready(a, next);
	a->done_bytes += a->order[job]->next_psb;
	if (a->options->progress)
		a->options->progress(a->options->progress_context, a->done_bytes, a->total_bytes);
	return rc;
}

static int run_jobs(struct analysis *a, struct ptf_error *err)
{
	struct ptf_jobs jobs = {.work = work, .done = done, .drop = drop, .context = a};
	int rc = ptf_jobs_run(&jobs, a->n_order, a->n_workers);

	ptf_vec_foreach (fragment, &a->pending)
		ptf_fragment_destroy(*fragment);
	ptf_vec_release(&a->pending);
	return rc < 0 ? no_memory(err) : 0;
}

/* Takes over what the workers summed up. */
static bool collect(struct analysis *a)
{
	for (unsigned i = 0; i < a->n_workers; i++) {
		struct ptf_segment_worker *worker = &a->workers[i];

		if (!ptf_engine_counts_add(&a->engine_counts, worker->ops->counts(worker->engine)))
			return false;
		ptf_slice_counts_add(&a->counts, &worker->slice);
		for (unsigned rule = 0; rule < PTF_RULES; rule++)
			a->threads.rules.fired[rule] += worker->rules.fired[rule];
	}
	return true;
}

static int run_workers(struct analysis *a, const struct ptf_flow_engine_ops *ops, void *shared,
        struct ptf_error *err)
{
	int rc = 0;

	a->n_workers = ptf_thread_count(a->options->threads);
	a->workers = calloc(a->n_workers, sizeof(*a->workers));
	if (!a->workers)
		return no_memory(err);
	for (unsigned i = 0; i < a->n_workers && rc == 0; i++) {
		if (ptf_segment_worker_init(&a->workers[i], &a->recording, ops, shared) < 0)
			rc = no_memory(err);
		a->workers[i].filter = &a->filter;
	}
	if (rc == 0)
		rc = run_jobs(a, err);
	if (rc == 0 && !collect(a))
		rc = no_memory(err);
	for (unsigned i = 0; i < a->n_workers; i++)
		ptf_segment_worker_release(&a->workers[i]);
	free(a->workers);
	return rc;
}

static int decode(struct analysis *a, const struct ptf_flow_engine_ops *ops, struct ptf_error *err)
{
	void *shared = NULL;
	int rc = ops->share(&shared, &a->recording.engine, err);

	if (rc == 0)
		rc = run_workers(a, ops, shared, err);
	ops->unshare(shared);
	return rc;
}

/* ---- the profile ---- */

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static void fill_window(struct analysis *a)
{
	const struct ptf_recording *recording = &a->recording;
	struct ptf_profile_window *window = &a->profile->window;

	window->timed = recording->timed;
	window->start_ns = recording->start_ns;
	window->end_ns = recording->end_ns;
	window->switches = ptf_timelines_switches(recording->timelines);
	if (recording->has_info) {
		window->simulated = recording->info.simulated;
		window->dilation = recording->info.simulated ? recording->info.dilation : 0;
	}
	window->resolution_ns = ptf_anchor_distances_median(&a->engine_counts.distances);
}

static void fill_counts(struct analysis *a, struct ptf_profile_decode *decode)
{
	const struct ptf_engine_counts *all = &a->engine_counts;
	struct ptf_slice_counts counts = a->counts;

	/* Of a whole recording the engine's counts hold, which know no threads that are not
	 * wanted. */
	if (!ptf_time_slice_cuts(&a->options->slice))
		counts = (struct ptf_slice_counts){all->instructions, all->calls, all->returns,
		        all->psbs, all->overflows, all->errors};
	decode->instructions = counts.instructions;
	decode->calls = counts.calls;
	decode->returns = counts.returns;
	decode->psbs = counts.syncs;
	decode->lost_records = a->recording.lost_records;
	decode->overflows = counts.overflows;
	decode->errors = counts.errors;
	decode->lost_bytes = all->lost_bytes;
}

static void fill_decode(struct analysis *a, const char *engine)
{
	struct ptf_profile_decode *decode = &a->profile->decode;

	decode->engine = engine;
	fill_counts(a, decode);
	ptf_vec_foreach (stream, &a->recording.streams.streams) {
		if (!wanted(a, stream))
			continue;
		decode->stream_bytes += stream->size;
		decode->lost_bytes += stream->lost_bytes;
	}
	decode->aux_bytes =
	        ptf_time_slice_cuts(&a->options->slice) ? a->total_bytes : decode->stream_bytes;
	for (size_t i = 0; i < a->profile->n_threads; i++)
		decode->lost_ns += a->profile->threads[i].states[PTF_STATE_LOST];
}

/* Modules whose code was needed and is not there, or does not match. */
static bool fill_missing(struct analysis *a)
{
	struct ptf_profile *profile = a->profile;
	struct ptf_module *const *modules;
	size_t n;

	modules = ptf_code_images_modules(a->recording.images, &n);
	profile->missing = ptf_arena_alloc(&profile->arena, (n + 1) * sizeof(*profile->missing));
	if (!profile->missing)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint64_t errors = i < a->engine_counts.missing_by_module.n
		                          ? a->engine_counts.missing_by_module.v[i]
		                          : 0;
		struct ptf_profile_missing *missing = &profile->missing[profile->n_missing];

		if (!errors)
			continue;
		missing->path = ptf_arena_strdup(&profile->arena, modules[i]->path);
		missing->problem = ptf_arena_strdup(&profile->arena,
		        modules[i]->problem ? modules[i]->problem : "no code at that address");
		missing->errors = errors;
		if (!missing->path || !missing->problem)
			return false;
		profile->n_missing++;
	}
	return true;
}

static bool fill_stats(struct analysis *a)
{
	const struct ptf_perf_info *info = ptf_perf_reader_info(a->recording.reader);
	const struct {
		const char *name, *text;
		uint64_t count;
	} stats[] = {
	        {"records", "records read from the file", info->records},
	        {"skipped_records", "records of unknown kinds, skipped", info->skipped},
	        {"lost_records", "records that the kernel had no room for",
	                a->recording.lost_records},
	        {"aux_truncated", "AUX records that say that trace data was lost",
	                a->recording.truncated},
	        {"segments", "pieces of trace, from PSB to PSB", a->n_order},
	        {"unmapped_errors", "decode errors in code that no mapping record covers",
	                a->engine_counts.unmapped_errors},
	        {"jit_errors", "decode errors in code made at run time, whose bytes nobody kept",
	                a->engine_counts.jit_errors},
	        {"stranger_fragments", "pieces of trace of threads that no record names",
	                a->strangers},
	};

	for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
		if (!ptf_profile_add_stat(a->profile, stats[i].name, stats[i].text, stats[i].count))
			return false;
	}
	return ptf_profile_add_rules(a->profile, &a->threads.rules);
}

static int fill_profile(struct analysis *a, const char *engine, struct ptf_error *err)
{
	int rc = ptf_thread_set_finish(&a->threads, a->profile, &a->filter, err);

	if (rc < 0)
		return rc;
	fill_window(a);
	fill_decode(a, engine);
	return fill_missing(a) && fill_stats(a) ? 0 : no_memory(err);
}

static int analyse(struct analysis *a, const struct ptf_flow_engine_ops *ops, struct ptf_error *err)
{
	int rc = ptf_thread_filter_init(
	        &a->filter, a->options->tid, a->options->comm, a->recording.timelines, err);

	if (rc == 0)
		rc = order_segments(a, err);
	if (rc == 0)
		rc = ptf_thread_set_init(&a->threads, a->recording.timelines,
		        &a->recording.known_stacks, a->recording.timed, &a->recording.slice, err);
	a->threads.plan = &a->plan;
	a->threads.filtered = a->recording.filtered;
	if (a->options->slice.instant)
		a->threads.at_ns = a->recording.start_ns + a->options->slice.to_ns - 1;
	if (rc == 0)
		rc = decode(a, ops, err);
	if (rc == 0)
		rc = fill_profile(a, ops->name, err);
	ptf_thread_set_release(&a->threads);
	ptf_thread_filter_release(&a->filter);
	ptf_slice_plan_release(&a->plan);
	ptf_engine_counts_release(&a->engine_counts);
	free(a->order);
	return rc;
}

static int analyse_recording(struct ptf_profile *profile,
        const struct ptf_analysis_options *options, struct ptf_error *err)
{
	const char *name = options->engine ? options->engine : DEFAULT_ENGINE;
	const struct ptf_flow_engine_ops *ops = ptf_flow_engine_find(name);
	struct analysis a = {.options = options, .profile = profile};
	struct ptf_code_places places = {options->symfs, options->vmlinux};
	int rc;

	if (!ops)
		return ptf_error_set(err, PTF_EINVAL, "unknown engine '%s'", name);
	rc = ptf_recording_init(
	        &a.recording, options->input, &places, &options->slice, profile->functions, err);
	if (rc < 0)
		return rc;
	rc = analyse(&a, ops, err);
	ptf_recording_release(&a.recording);
	return rc;
}

int ptf_analysis_run(
        struct ptf_profile **out, const struct ptf_analysis_options *options, struct ptf_error *err)
{
	struct ptf_profile *profile = ptf_profile_create();
	struct timespec start;
	int rc;

	if (!profile)
		return no_memory(err);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (options->watch && !ptf_function_table_watch(profile->functions, options->watch))
		rc = no_memory(err);
	else if (ptf_text_analysis_probe(options->input) > 0)
		rc = ptf_text_analysis_run(profile, options, err);
	else
		rc = analyse_recording(profile, options, err);
	if (rc == 0 && options->watch)
		rc = ptf_watch_check(profile, options->watch, err);
	if (rc < 0) {
		ptf_profile_destroy(profile);
		return rc;
	}
	profile->decode.seconds = seconds_since(&start);
	*out = profile;
	return 0;
}
