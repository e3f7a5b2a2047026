/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `perf` backend: records hardware PT by running `perf record` with the options that
 * accounting of wall-clock time needs, after looking for what would make it fail.
 */
#ifndef PTF_RECORD_PERF_H
#define PTF_RECORD_PERF_H

#include <ptflame/error.h>

#include "record/pt_hardware.h"
#include "record/record.h"

/* Runs it; SIGINT, SIGTERM and SIGHUP go to perf, which ends its file. */
int ptf_record_perf(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_record_result *result,
        struct ptf_error *err);

#endif
