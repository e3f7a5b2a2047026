/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Goes on in a segment that an engine gave up because code is missing: the kernel's, of a JIT
 * compiler, of a library that is gone.
 *
 * Behind such code the next TIP, TIP.PGE or FUP of an overflow says where the flow is. From there
 * on the rest of the segment is decoded like a segment of its own, with a PSB+ made up in front of
 * it; what the return stack held is forgotten. Engines do not know of it.
 */
#ifndef PTF_RESYNC_H
#define PTF_RESYNC_H

#include "pt/flow_engine.h"

struct ptf_resync {
	uint8_t *bytes; /* owned: a copy of the segment in hand, or NULL */
	size_t cap;     /* bytes */
	bool copied;    /* the segment is in it */
	struct ptf_resume resume;
};

void ptf_resync_release(struct ptf_resync *resync);

/* A new segment begins. */
void ptf_resync_begin(struct ptf_resync *resync);

/* The engine gave up `input` at `offset` (ptf_flow_engine_ops.stopped_at). 1: input is the rest now
 * (its bytes are the resync's), 0: there is no place to go on, -PTF_ENOMEM. */
int ptf_resync_next(struct ptf_resync *resync, struct ptf_engine_input *input, uint64_t offset,
        const struct ptf_clock_params *clock);

#endif
