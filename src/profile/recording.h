/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recording: a perf.data read up to the point where decoding can begin: who lived when, which
 * code was where, the AUX streams cut into segments.
 */
#ifndef PTF_RECORDING_H
#define PTF_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include <ptflame/error.h>
#include <ptflame/record_info.h>

#include "image/code_images.h"
#include "perfdata/perf_reader.h"
#include "pt/aux_stream.h"
#include "profile/known_stacks.h"
#include "pt/flow_engine.h"
#include "pt/run_span.h"
#include "profile/time_slice.h"
#include "sched/thread_timeline.h"

struct ptf_recording {
	struct ptf_perf_reader *reader;       /* owned; the AUX bytes are its */
	struct ptf_attached_files attached;   /* to the file; empty for others */
	struct ptf_function_table *functions; /* borrowed */
	struct ptf_code_images *images;       /* owned, frozen */
	struct ptf_timelines *timelines;      /* owned, frozen */
	struct ptf_tracepoints *tracepoints;  /* owned */
	struct ptf_known_stacks known_stacks; /* frozen */
	struct ptf_aux_streams streams;       /* cut */
	struct ptf_run_spans *spans;          /* owned, one array for each stream */
	struct ptf_engine_config engine;      /* clock, CPU, images */
	struct ptf_record_auxtrace_info pt;   /* type 1 once seen */
	struct ptf_record_info info;          /* of our recorder, when has_info */
	bool has_info;
	bool timed;                /* segments have times */
	bool user_only;            /* the kernel's code is not traced */
	bool filtered;             /* only code that an address filter names is traced */
	uint64_t start_ns, end_ns; /* the window */
	uint64_t lost_records;     /* by LOST and LOST_SAMPLES */
	uint64_t truncated;        /* AUX records with PTF_AUX_FLAG_TRUNCATED */
	uint64_t itrace_errors;    /* AUXTRACE_ERROR records */

	struct ptf_slice_bounds slice; /* what of the trace counts; the window is clipped */
};

/* Where code is looked for; strings are borrowed until the recording is released. */
struct ptf_code_places {
	const char *symfs;   /* prefix of file names, or NULL */
	const char *vmlinux; /* the kernel's image, or NULL: where it usually is */
};

/* functions: borrowed, must outlive the recording. Errors as ptf_analysis_run. */
int ptf_recording_init(struct ptf_recording *recording, const char *path,
        const struct ptf_code_places *places, const struct ptf_time_slice *slice,
        struct ptf_function_table *functions, struct ptf_error *err);
void ptf_recording_release(struct ptf_recording *recording);

#endif
