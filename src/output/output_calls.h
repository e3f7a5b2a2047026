/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of one function: for the terminal, or as JSON (ptflame(1), "ptflame calls"). */
#ifndef PTF_OUTPUT_CALLS_H
#define PTF_OUTPUT_CALLS_H

#include <stdio.h>

#include "profile/calls_report.h"

/* origin_ns: what start times are counted from. Both flush; -PTF_EIO or -PTF_ENOMEM. */
int ptf_output_calls_table(const struct ptf_calls_report *report, const struct ptf_profile *profile,
        uint64_t origin_ns, FILE *out, struct ptf_error *err);
int ptf_output_calls_json(const struct ptf_calls_report *report, const struct ptf_profile *profile,
        uint64_t origin_ns, FILE *out, struct ptf_error *err);

#endif
