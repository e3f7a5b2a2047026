/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adds samples to a perf.data that perf itself wrote: SAMPLE records with a callchain on the dummy
 * event, which tracks processes in every recording of Intel PT and has no samples of its own.
 *
 * Each stands in front of the first record that is not older, so that perf's rounds stay in order;
 * the event's sample_type, the size of the data and what tells file offsets (the AUXTRACE index,
 * the table of features) are put right. The file is copied, then replaced.
 */
#ifndef PTF_PERF_INSERT_H
#define PTF_PERF_INSERT_H

#include <stddef.h>

#include <ptflame/error.h>

#include "perfdata/perf_record.h"

/* samples: n SAMPLE records in the order of time, with pid, tid and time in `sid`. path: a file, or
 * a directory with the file `data`. Errors: PTF_EUNSUPPORTED when the file has no fitting dummy
 * event, PTF_EFORMAT when it is damaged, I/O and memory; the file is untouched then. */
int ptf_perf_insert_samples(
        const char *path, const struct ptf_record *samples, size_t n, struct ptf_error *err);

#endif
