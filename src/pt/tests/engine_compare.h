/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs two engines over the same segment and compares every item that they tell. */
#ifndef PTF_ENGINE_COMPARE_H
#define PTF_ENGINE_COMPARE_H

#include <stdio.h>

#include "pt/flow_engine.h"

struct ptf_engine_pair {
	const struct ptf_flow_engine_ops *ops[2];
	struct ptf_flow_engine *engines[2]; /* owned */
	void *shared[2];
	uint64_t items; /* compared so far */
};

/* The fast engine and libipt; config is borrowed. false: out of memory. */
bool ptf_engine_pair_init(struct ptf_engine_pair *pair, const struct ptf_engine_config *config);
void ptf_engine_pair_release(struct ptf_engine_pair *pair);

/* Decodes a segment with both: the fast engine inputs[0], libipt inputs[1]. False when they differ:
 * then the last items of both stand in `report` (a static buffer), with `name` before them. */
bool ptf_engine_pair_compare(struct ptf_engine_pair *pair, const struct ptf_engine_input inputs[2],
        const char *name, const char **report);

/* Do the counts that both summed up agree? */
bool ptf_engine_pair_counts_agree(const struct ptf_engine_pair *pair, const char **report);

#endif
