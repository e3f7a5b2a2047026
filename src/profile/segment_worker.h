/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes segments and replays them into fragments: what one worker thread of an analysis does. */
#ifndef PTF_SEGMENT_WORKER_H
#define PTF_SEGMENT_WORKER_H

#include "profile/recording.h"
#include "profile/thread_filter.h"
#include "pt/resync.h"
#include "stack/fragment.h"

PTF_VEC_TYPEDEF(ptf_fragments, struct ptf_fragment *);

/* What a segment became: a fragment for each thread that ran in it. */
struct ptf_segment_result {
	int rc;                         /* 0 or -PTF_ENOMEM */
	struct ptf_fragments fragments; /* owned */
};

void ptf_segment_result_destroy(struct ptf_segment_result *result);

struct ptf_segment_worker {
	const struct ptf_recording *recording; /* borrowed */
	const struct ptf_flow_engine_ops *ops;
	struct ptf_flow_engine *engine; /* owned */
	struct ptf_fragment_builder builder;
	struct ptf_stack_rule_counts rules;
	struct ptf_scratch scratch;
	struct ptf_resync resync;
	struct ptf_run_spans spans;    /* of the segment in hand, when they had to be changed */
	struct ptf_slice_counts slice; /* of the items in the slice; the engine's are of whole
	                                * segments */
	const struct ptf_thread_filter *filter; /* borrowed: whose fragments are wanted */
};

/* shared: of ops->share. 0 or -PTF_ENOMEM. */
int ptf_segment_worker_init(struct ptf_segment_worker *worker,
        const struct ptf_recording *recording, const struct ptf_flow_engine_ops *ops, void *shared);
void ptf_segment_worker_release(struct ptf_segment_worker *worker);

/* Decodes one segment; order goes to its fragments. NULL when out of memory. */
struct ptf_segment_result *ptf_segment_worker_run(
        struct ptf_segment_worker *worker, const struct ptf_aux_segment *segment, uint64_t order);

#endif
