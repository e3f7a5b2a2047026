/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Analysis: from a recording to a profile. The one place that joins the layers below.
 */
#ifndef PTF_ANALYSIS_H
#define PTF_ANALYSIS_H

#include <stdint.h>

#include <ptflame/error.h>

#include "profile/profile.h"
#include "profile/time_slice.h"

struct ptf_analysis_options {
	const char *input;           /* perf.data (file, directory, "-") or text of perf script */
	const char *symfs;           /* prefix of file names, or NULL */
	const char *vmlinux;         /* the kernel's image, or NULL: where it usually is */
	const char *engine;          /* NULL: the default */
	unsigned threads;            /* 0: one for each CPU */
	int32_t tid;                 /* only this thread, 0: all */
	const char *comm;            /* only threads of this last name, NULL: all */
	struct ptf_time_slice slice; /* zeroed: all of the window; an instant: threads get a
	                              * stack, and nothing else of them is to be used */
	const char *watch;           /* the function whose calls are told apart (profile/watch.h),
	                              * or NULL */
	/* Called on the caller's thread now and then; may be NULL. */
	void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_context;
};

/* Reads and decodes. Errors: I/O, memory, not a recording (PTF_EFORMAT), no PT data in it
 * or no such thread or function (PTF_ENODATA), not decodable here (PTF_EUNSUPPORTED), unknown
 * engine or a slice that begins behind the recording's end (PTF_EINVAL). The profile is the
 * caller's. */
int ptf_analysis_run(struct ptf_profile **profile, const struct ptf_analysis_options *options,
        struct ptf_error *err);

#endif
