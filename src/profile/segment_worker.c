/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "profile/segment_worker.h"

void ptf_segment_result_destroy(struct ptf_segment_result *result)
{
	if (!result)
		return;
	ptf_vec_foreach (fragment, &result->fragments)
		ptf_fragment_destroy(*fragment);
	ptf_vec_release(&result->fragments);
	free(result);
}

int ptf_segment_worker_init(struct ptf_segment_worker *worker,
        const struct ptf_recording *recording, const struct ptf_flow_engine_ops *ops, void *shared)
{
	*worker = (struct ptf_segment_worker){.recording = recording, .ops = ops};
	worker->engine = ops->create(shared);
	ptf_fragment_builder_init(&worker->builder, &worker->rules);
	worker->builder.from_ns = recording->slice.from_ns;
	return worker->engine ? 0 : -PTF_ENOMEM;
}

void ptf_segment_worker_release(struct ptf_segment_worker *worker)
{
	if (worker->ops)
		worker->ops->destroy(worker->engine);
	ptf_fragment_builder_release(&worker->builder);
	free(worker->scratch.bytes);
	ptf_resync_release(&worker->resync);
	ptf_vec_release(&worker->spans);
	*worker = (struct ptf_segment_worker){0};
}

/* Ends the fragment in hand, if any, and puts it into the result. */
static int end_fragment(struct ptf_segment_worker *worker, struct ptf_segment_result *result,
        uint64_t order, bool gap_before)
{
	int rc;
	struct ptf_fragment *fragment = ptf_fragment_builder_end(&worker->builder, &rc);

	if (!fragment)
		return rc;
	fragment->order = order;
	/* Only the first fragment of a segment stands behind the gap in its stream. */
	fragment->gap_before = gap_before && !result->fragments.n;
	if (ptf_vec_push(&result->fragments, fragment))
		return 0;
	ptf_fragment_destroy(fragment);
	return -PTF_ENOMEM;
}

/* Begins the fragment of the item's thread if it is wanted. */
static int begin_fragment(struct ptf_segment_worker *worker, const struct ptf_flow_item *item)
{
	const struct ptf_thread_timeline *life =
	        ptf_timelines_find(worker->recording->timelines, item->code, item->time_ns);

	size_t n;
	int rc;

	if (life && !ptf_thread_filter_passes(worker->filter, life))
		return 0;
	rc = ptf_fragment_builder_begin(
	        &worker->builder, item->pid, item->code, worker->recording->timed ? life : NULL);
	if (rc == 0 && life)
		worker->builder.marks = ptf_known_stacks_marks(&worker->recording->known_stacks,
		        (size_t)(life - ptf_timelines_all(worker->recording->timelines, &n)));
	return rc;
}

/* Adds an item of the thread that runs to its fragment, if that is wanted. */
static int add_item(
        struct ptf_segment_worker *worker, const struct ptf_flow_item *item, uint64_t now_ns)
{
	const struct ptf_slice_bounds *slice = &worker->recording->slice;
	bool muted = now_ns < slice->from_ns;

	/* Of a whole recording the engine's own counts are taken. */
	if (!muted && (slice->from_ns || slice->to_ns != UINT64_MAX))
		ptf_slice_counts_item(&worker->slice, item);
	if (!worker->builder.fragment)
		return 0;
	worker->builder.stack.muted = muted;
	return ptf_fragment_builder_add(&worker->builder, item);
}

/* What is left of the segment lies behind the slice. A fragment without items still says when the
 * gap before it ends. */
static void end_slice(struct ptf_segment_worker *worker, uint64_t now_ns)
{
	struct ptf_fragment *fragment = worker->builder.fragment;

	if (fragment && fragment->start_ns == PTF_NO_TIME)
		fragment->start_ns = now_ns;
}

/* An item without a time of its own has that of the item before it, or of the segment. */
static int replay(struct ptf_segment_worker *worker, struct ptf_segment_result *result,
        const struct ptf_aux_segment *segment, uint64_t order, uint64_t now_ns)
{
	const struct ptf_flow_item *item;
	int rc;

	while ((rc = worker->ops->next(worker->engine, &item)) == 0) {
		if (item->time_ns != PTF_NO_TIME)
			now_ns = item->time_ns;
		if (item->kind == PTF_FLOW_THREAD) {
			rc = end_fragment(worker, result, order, segment->gap_before);
			if (rc == 0)
				rc = begin_fragment(worker, item);
		} else if (now_ns != PTF_NO_TIME && now_ns >= worker->recording->slice.to_ns) {
			end_slice(worker, now_ns);
			break;
		} else {
			rc = add_item(worker, item, now_ns);
		}
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : end_fragment(worker, result, order, segment->gap_before);
}

/* Decodes and replays a segment; where code is missing it goes on behind that. */
static int run_segment(struct ptf_segment_worker *worker, struct ptf_segment_result *result,
        const struct ptf_aux_segment *segment, uint64_t order, struct ptf_engine_input *input)
{
	uint64_t now_ns = segment->start_ns;
	int rc;

	ptf_resync_begin(&worker->resync);
	do {
		rc = worker->ops->begin(worker->engine, input);
		if (rc == 0)
			rc = replay(worker, result, segment, order, now_ns);
		if (rc < 0 || worker->ops->stopped_at(worker->engine) == UINT64_MAX)
			return rc;
		rc = ptf_resync_next(&worker->resync, input,
		        worker->ops->stopped_at(worker->engine), &worker->recording->engine.clock);
		if (rc == 1)
			now_ns = ptf_clock_ns(&input->resume->clock);
	} while (rc == 1);
	return rc;
}

static bool fit_spans(struct ptf_segment_worker *worker, const struct ptf_aux_segment *segment,
        struct ptf_engine_input *input)
{
	const struct ptf_recording *recording = worker->recording;
	const struct ptf_aux_streams *streams = &recording->streams;
	const struct ptf_aux_segment *next = segment + 1;
	uint64_t end_ns = UINT64_MAX;

	if (!recording->timed || !recording->user_only)
		return true;
	if (next < streams->segments.v + streams->segments.n && next->stream == segment->stream)
		end_ns = next->start_ns;
	return ptf_run_spans_fit(
	        input, segment->start_ns, end_ns, &recording->engine.clock, &worker->spans);
}

struct ptf_segment_result *ptf_segment_worker_run(
        struct ptf_segment_worker *worker, const struct ptf_aux_segment *segment, uint64_t order)
{
	const struct ptf_recording *recording = worker->recording;
	struct ptf_segment_result *result = calloc(1, sizeof(*result));
	struct ptf_engine_input input = {.size = segment->size,
	        .next_psb = segment->next_psb,
	        .filtered = recording->filtered};

	if (!result)
		return NULL;
	input.bytes = ptf_aux_segment_bytes(&recording->streams, segment, &worker->scratch);
	input.spans = recording->spans[segment->stream].v;
	input.n_spans = recording->spans[segment->stream].n;
	if (!input.bytes || !fit_spans(worker, segment, &input))
		result->rc = -PTF_ENOMEM;
	else
		result->rc = run_segment(worker, result, segment, order, &input);
	return result;
}
