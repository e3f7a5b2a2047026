/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: a code to branch on and a message to show, with the place in the input.
 *
 * A function that can fail returns 0 or a negative code (-PTF_EFORMAT, ...) and fills the
 * struct ptf_error that its caller passed last; on success the struct is untouched. Damage
 * inside a trace is not an error: it becomes a `lost` item (pt/flow_item.h).
 */
#ifndef PTFLAME_ERROR_H
#define PTFLAME_ERROR_H

#include <stdint.h>

#define PTF_ERROR_CODES(X)                                                                         \
	X(PTF_EIO, 1, "input/output error")                                                        \
	X(PTF_ENOMEM, 2, "out of memory")                                                          \
	X(PTF_EFORMAT, 3, "malformed input")                                                       \
	X(PTF_ETRUNC, 4, "input ends too early")                                                   \
	X(PTF_EUNSUPPORTED, 5, "not supported")                                                    \
	X(PTF_ENOENT, 6, "not found")                                                              \
	X(PTF_EPERM, 7, "permission denied")                                                       \
	X(PTF_EINVAL, 8, "invalid argument")                                                       \
	X(PTF_ENODATA, 9, "no trace data")                                                         \
	X(PTF_ECHILD, 10, "helper program failed")

enum ptf_error_code {
#define X(name, value, text) name = value,
	PTF_ERROR_CODES(X)
#undef X
};

/* The value of file_offset, aux_offset and ip when they are not known. */
#define PTF_NO_OFFSET UINT64_MAX

struct ptf_error {
	enum ptf_error_code code; /* 0 while no error was set */
	uint64_t file_offset;     /* bytes from the start of the input file, or PTF_NO_OFFSET */
	uint64_t aux_offset;      /* bytes from the start of the AUX stream, or PTF_NO_OFFSET */
	uint64_t ip;              /* code address, or PTF_NO_OFFSET */
	int32_t tid;              /* thread id, or -1 */
	char msg[384];            /* one line without a newline, always terminated */
};

/* "malformed input" for -PTF_EFORMAT or PTF_EFORMAT; never NULL. */
const char *ptf_error_text(int code);

/* Fills *err (may be NULL), with no place known, and returns -code. */
int ptf_error_set(struct ptf_error *err, enum ptf_error_code code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* The same with a file offset, which is also appended to the message as "(at offset 0x...)". */
int ptf_error_set_at(struct ptf_error *err, enum ptf_error_code code, uint64_t file_offset,
        const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same for a failed system call: appends strerror(errnum), maps ENOENT, EPERM and ENOMEM. */
int ptf_error_set_errno(struct ptf_error *err, int errnum, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message of a set error (err may be NULL); returns -err->code. */
int ptf_error_prepend(struct ptf_error *err, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

#endif
