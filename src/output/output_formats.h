/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output formats: one file each (output_folded.c, ...), found by name or by file ending.
 */
#ifndef PTF_OUTPUT_FORMATS_H
#define PTF_OUTPUT_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <ptflame/error.h>

#include "profile/profile.h"
#include "profile/profile_view.h"

struct ptf_output_options {
	struct ptf_view_options view; /* what the formats that draw stacks show */
	bool paths;                   /* json: latencies of every call path, too */
	bool annotate;                /* frames carry name:calls(partial),avg:ns */
	const char *title; /* of a picture; NULL: "Wall-clock flame graph" and the like */
	size_t top;        /* functions in a table, 0: 40 */
};

struct ptf_output_format {
	const char *name;           /* what -f takes */
	const char *const *endings; /* of file names, with the dot; ends with NULL */
	const char *help;           /* one line */
	/* Writes the profile and flushes; fails with -PTF_EIO or -PTF_ENOMEM. */
	int (*write)(const struct ptf_profile *profile, const struct ptf_output_options *options,
	        FILE *out, struct ptf_error *err);
};

/* All formats, the default first; ends with NULL. */
extern const struct ptf_output_format *const ptf_output_formats[];

/* The format called name, or NULL. */
const struct ptf_output_format *ptf_output_format_find(const char *name);

/* The format of a file name's ending (case does not matter), or NULL. */
const struct ptf_output_format *ptf_output_format_of_file(const char *path);

extern const struct ptf_output_format ptf_output_folded;
extern const struct ptf_output_format ptf_output_json;
extern const struct ptf_output_format ptf_output_svg;
extern const struct ptf_output_format ptf_output_table;

#endif
