/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for outputs. Names come from symbol tables and from prctl(PR_SET_NAME): they can hold any
 * byte but 0. Every format writes valid UTF-8 without control characters.
 */
#ifndef PTF_OUTPUT_TEXT_H
#define PTF_OUTPUT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <ptflame/error.h>

#include "base/vec.h"
#include "profile/profile_view.h"

/* A growing string; v[0..n) is not terminated unless a function says so. */
struct ptf_text {
	PTF_VEC(char) bytes;
	bool failed; /* was out of memory once: something is missing; kept by clear */
};

/* A zeroed struct is an empty text. */
void ptf_text_release(struct ptf_text *text);
void ptf_text_clear(struct ptf_text *text);

void ptf_text_append(struct ptf_text *text, const char *bytes, size_t n);
void ptf_text_printf(struct ptf_text *text, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Appends a name with '?' for control characters, U+FFFD for every byte that is not UTF-8 and for
 * the code points that no XML file may hold. */
void ptf_text_append_clean(struct ptf_text *text, const char *name);

/* The same with ':' for ';', for a frame of a folded stack. */
void ptf_text_append_folded(struct ptf_text *text, const char *name);

/* The same as clean, escaped for XML text and attributes. */
void ptf_text_append_xml(struct ptf_text *text, const char *name);

/* The text, terminated; valid until the next change; "" when it failed. */
const char *ptf_text_string(struct ptf_text *text);

/* Appends a node's name; with `annotate`, functions as name:calls(partial),avg:ns, where ns is the
 * mean of the timed calls or "-" without any. */
void ptf_text_append_frame(struct ptf_text *text, const struct ptf_view_node *node, bool annotate,
        void (*append)(struct ptf_text *text, const char *name));

/* Appends "1,234,567". */
void ptf_text_append_grouped(struct ptf_text *text, uint64_t value);

/* Appends a duration for reading: "812 ns", "1.25 us", "34.1 ms", "2.07 s". */
void ptf_text_append_duration(struct ptf_text *text, uint64_t ns);

/* One line about the recording for the outputs that have room for it: "simulated Intel PT, CPU
 * time 9.8 times native", "no context-switch events: ...", "no timing: ...". Appends nothing when
 * nothing is special; parts are separated by "; ". */
void ptf_text_append_notes(struct ptf_text *text, const struct ptf_profile *profile);

/* Flushes; 0, or -PTF_EIO when anything written to `out` failed, or -PTF_ENOMEM when !memory. */
int ptf_output_finish(FILE *out, bool memory, struct ptf_error *err);

#endif
