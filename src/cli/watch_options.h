/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that choose calls of one function: --under, --slowest, --fastest. */
#ifndef PTF_WATCH_OPTIONS_H
#define PTF_WATCH_OPTIONS_H

#include <argp.h>

#include "cli/common_options.h"
#include "profile/watch.h"

struct ptf_watch_options {
	const char *under; /* the function's name, NULL: everything is shown */
	struct ptf_watch_choice choice;
};

/* Its input is a struct ptf_watch_options (zeroed). */
extern const struct argp ptf_watch_argp;

/* The children of an argp that has the common options and these, in this order; ends with NULL. */
extern const struct argp_child ptf_watch_children[];

/* ptf_common_analyse, then makes *part of the chosen calls and says on stderr how many they are.
 * *part is *whole when no function was named, *counts is zeroed then. The exit status; both are the
 * caller's, to be released with ptf_watch_release. */
int ptf_watch_analyse(const struct ptf_watch_options *watch, struct ptf_common_options *common,
        const char *command, struct ptf_profile **whole, struct ptf_profile **part,
        struct ptf_watch_counts *counts);
void ptf_watch_release(struct ptf_profile *whole, struct ptf_profile *part);

/* Makes the part and says so: what ptf_watch_analyse does behind the analysis. */
int ptf_watch_part(const char *under, const struct ptf_watch_choice *choice, const char *command,
        const struct ptf_profile *whole, struct ptf_profile **part,
        struct ptf_watch_counts *counts);

#endif
