/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes for the person at the terminal from layers that must not print: they go to the sink that
 * the program installed (the command line writes them to stderr), or nowhere.
 */
#ifndef PTF_LOG_H
#define PTF_LOG_H

enum ptf_log_level {
	PTF_LOG_DEBUG, /* for people who debug ptflame */
	PTF_LOG_NOTE,  /* worth knowing */
	PTF_LOG_WARN,  /* the result is less than was asked for */
};

/* text is one line without newline; the sink may be called from several threads, one at a time. */
typedef void (*ptf_log_sink)(enum ptf_log_level level, const char *text);

/* Call once, before threads start. NULL drops everything. */
void ptf_log_set_sink(ptf_log_sink sink);

void ptf_log(enum ptf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
