/* SPDX-License-Identifier: BSD-2-Clause */
/* Analysis of what `perf script --itrace=b` or `=cr` printed: the same stack, without decoding. */
#ifndef PTF_TEXT_ANALYSIS_H
#define PTF_TEXT_ANALYSIS_H

#include "profile/analysis.h"

/* 1: the file looks like such a text, 0: it does not (or cannot be read). */
int ptf_text_analysis_probe(const char *path);

/* Fills an empty profile. Errors as ptf_analysis_run. */
int ptf_text_analysis_run(struct ptf_profile *profile, const struct ptf_analysis_options *options,
        struct ptf_error *err);

#endif
