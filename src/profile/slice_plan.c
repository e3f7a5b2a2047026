/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "profile/slice_plan.h"

/* The segments first..end-1 are those of one stream. */
struct stream_range {
	size_t first, end;
};

/* A thread on a CPU before the slice. */
struct run {
	uint64_t from_ns, to_ns;
	int32_t tid, cpu;
};

PTF_VEC_TYPEDEF(runs, struct run);

static struct stream_range range_at(const struct ptf_aux_streams *streams, size_t first)
{
	struct stream_range range = {first, first};

	while (range.end < streams->segments.n &&
	        streams->segments.v[range.end].stream == streams->segments.v[first].stream)
		range.end++;
	return range;
}

/* The last segment of a stream that begins before or at a time; its first one when none does. */
static size_t segment_at(
        const struct ptf_aux_segment *segments, struct stream_range range, uint64_t ns)
{
	size_t low = range.first, high = range.end;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (segments[middle].start_ns <= ns)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* ---- what reaches into the slice ---- */

/* Returns the first that is marked. */
static size_t mark_overlapping(struct ptf_slice_plan *plan, const struct ptf_slice_bounds *slice,
        const struct ptf_aux_segment *segments, struct stream_range range)
{
	size_t first;
	size_t from = range.first, to = range.first;

	while (to < range.end && segments[to].start_ns < slice->to_ns)
		to++;
	/* The slice may end in a gap, as the first item behind it tells. */
	if (to < range.end && segments[to].gap_before)
		to++;
	/* One that ends with the time at which the slice begins has items of that time. */
	while (from + 1 < to && segments[from + 1].start_ns < slice->decode_from_ns)
		from++;
	while (from > range.first && !segments[from].lit)
		from--;
	first = from;
	for (; from < to; from++)
		plan->needed[from] = true;
	return first;
}

static int mark_stream(struct ptf_slice_plan *plan, const struct ptf_recording *recording,
        struct stream_range range)
{
	const struct ptf_aux_segment *segments = recording->streams.segments.v;
	size_t first = mark_overlapping(plan, &recording->slice, segments, range);
	int32_t tid = recording->streams.streams.v[segments[range.first].stream].tid;
	uint64_t *since;

	if (tid < 0 || first == range.first)
		return 0;
	since = ptf_hash_map_at(&plan->since_ns, (uint32_t)tid, NULL);
	if (!since)
		return -PTF_ENOMEM;
	*since = segments[first].start_ns;
	return 0;
}

/* ---- where threads ran last ---- */

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

static bool collect_runs(
        struct runs *runs, const struct ptf_timelines *timelines, int32_t cpu, uint64_t before_ns)
{
	size_t n;
	const struct ptf_cpu_span *spans = ptf_timelines_cpu(timelines, cpu, &n);

	for (size_t i = 0; i < n && spans[i].from_ns < before_ns; i++) {
		struct run run = {spans[i].from_ns, i + 1 < n ? spans[i + 1].from_ns : UINT64_MAX,
		        spans[i].tid, cpu};

		if (run.tid > 0 && !ptf_vec_push(runs, run))
			return false;
	}
	return true;
}

/* Marks the segment of the last of a thread's n > 0 runs; *since_ns: the end of the last run that
 * is not in it. */
static void mark_last_run(struct ptf_slice_plan *plan, const struct ptf_recording *recording,
        struct stream_range range, const struct run *runs, size_t n, uint64_t *since_ns)
{
	const struct ptf_aux_segment *segments = recording->streams.segments.v;
	const struct run *last = &runs[n - 1];
	uint64_t end_ns = last->to_ns < recording->slice.decode_from_ns
	                          ? last->to_ns
	                          : recording->slice.decode_from_ns;
	size_t at = segment_at(segments, range, end_ns);

	for (;;) {
		plan->needed[at] = true;
		/* A switch record may come before the trace of what led to it is complete. */
		if (at == range.first || (segments[at].lit && segments[at].start_ns < end_ns) ||
		        segments[at].start_ns < last->from_ns)
			break;
		at--;
	}
	while (n > 1 && runs[n - 2].cpu == last->cpu && runs[n - 2].to_ns > segments[at].start_ns)
		n--;
	*since_ns = n > 1 ? runs[n - 2].to_ns : 0;
}

static int mark_runs(struct ptf_slice_plan *plan, const struct ptf_recording *recording,
        const struct stream_range *by_stream, const struct runs *runs)
{
	for (size_t i = 0, n; i < runs->n; i += n) {
		const struct run *first = &runs->v[i];
		uint64_t *since;

		for (n = 1; i + n < runs->n && first[n].tid == first->tid; n++)
			;
		since = ptf_hash_map_at(&plan->since_ns, (uint32_t)first->tid, NULL);
		if (!since)
			return -PTF_ENOMEM;
		for (size_t s = 0; s < recording->streams.streams.n; s++) {
			if (recording->streams.streams.v[s].cpu == first[n - 1].cpu &&
			        by_stream[s].end > by_stream[s].first)
				mark_last_run(plan, recording, by_stream[s], first, n, since);
		}
	}
	return 0;
}

static int plan_runs(struct ptf_slice_plan *plan, const struct ptf_recording *recording,
        const struct stream_range *by_stream)
{
	const struct ptf_aux_streams *streams = &recording->streams;
	struct runs runs = {0};
	int rc = 0;

	for (size_t s = 0; s < streams->streams.n && rc == 0; s++) {
		if (streams->streams.v[s].cpu >= 0 &&
		        !collect_runs(&runs, recording->timelines, streams->streams.v[s].cpu,
		                recording->slice.decode_from_ns))
			rc = -PTF_ENOMEM;
	}
	if (runs.n)
		qsort(runs.v, runs.n, sizeof(*runs.v), compare_runs);
	if (rc == 0)
		rc = mark_runs(plan, recording, by_stream, &runs);
	ptf_vec_release(&runs);
	return rc;
}

int ptf_slice_plan_init(struct ptf_slice_plan *plan, const struct ptf_recording *recording)
{
	const struct ptf_aux_streams *streams = &recording->streams;
	size_t n = streams->segments.n;
	struct stream_range *by_stream = calloc(streams->streams.n + 1, sizeof(*by_stream));
	int rc = 0;

	*plan = (struct ptf_slice_plan){.needed = calloc(n + 1, sizeof(*plan->needed))};
	if (!plan->needed || !by_stream)
		rc = -PTF_ENOMEM;
	/* Without timing there are no slices. */
	for (size_t i = 0; i < n && rc == 0 && !recording->timed; i++)
		plan->needed[i] = true;
	for (size_t i = 0; i < n && rc == 0 && recording->timed;) {
		struct stream_range range = range_at(streams, i);

		rc = mark_stream(plan, recording, range);
		by_stream[streams->segments.v[i].stream] = range;
		i = range.end;
	}
	if (rc == 0 && recording->slice.decode_from_ns)
		rc = plan_runs(plan, recording, by_stream);
	free(by_stream);
	return rc;
}

void ptf_slice_plan_release(struct ptf_slice_plan *plan)
{
	free(plan->needed);
	ptf_hash_map_release(&plan->since_ns);
	*plan = (struct ptf_slice_plan){0};
}

uint64_t ptf_slice_plan_since(const struct ptf_slice_plan *plan, int32_t tid)
{
	const uint64_t *since = ptf_hash_map_find(&plan->since_ns, (uint32_t)tid);

	return since ? *since : 0;
}
