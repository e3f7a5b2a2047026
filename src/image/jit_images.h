/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Builds the code that a process made at run time from the files that its JIT compiler left.
 */
#ifndef PTF_JIT_IMAGES_H
#define PTF_JIT_IMAGES_H

#include "image/code_history.h"

/* Sets history->jit from its dumps and clears. What is missing or damaged is logged. false when out
 * of memory. */
bool ptf_jit_code_build(struct ptf_code_history *history, const struct ptf_jit_clock *clock);

/* Sets history->names from a perf map; leaves it NULL when there is none. The last entry for an
 * address counts. false when out of memory. */
bool ptf_jit_names_build(struct ptf_code_history *history, struct ptf_module *module);

#endif
