/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose code a CPU's stream runs, made to agree with its packets.
 *
 * Records of context switches and packets of a trace that stops in the kernel tell of the same
 * events by clocks that differ by some ns, and where neither CYC nor TSC comes with a TIP.PGE the
 * time known there is that of the last TIP.PGD. A decoder that goes by time alone would take a
 * whole stretch of code for another thread's. But a switch happens in the kernel: its place is
 * between two stretches.
 */
#ifndef PTF_RUN_SPAN_H
#define PTF_RUN_SPAN_H

#include "base/vec.h"
#include "pt/flow_engine.h"

PTF_VEC_TYPEDEF(ptf_run_spans, struct ptf_run_span);

/* Farther apart than this are no two words for the same switch, ns. */
enum { PTF_SPAN_SKEW_NS = 20000 };

/* For the segment of `input`, which begins at start_ns and is over at end_ns (UINT64_MAX: the last
 * one): if spans begin inside it, copies the ones that matter to `out`, moves their times between
 * its stretches and puts them into `input`. Only for traces of user code alone. False: no memory.
 */
bool ptf_run_spans_fit(struct ptf_engine_input *input, uint64_t start_ns, uint64_t end_ns,
        const struct ptf_clock_params *clock, struct ptf_run_spans *out);

/* Index of the span that holds at ns, not before index `from`. */
size_t ptf_run_spans_find(const struct ptf_run_span *spans, size_t n, size_t from, uint64_t ns);

#endif
