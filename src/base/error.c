/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <ptflame/error.h>

const char *ptf_error_text(int code)
{
	switch (code < 0 ? -code : code) {
	case 0:
		return "success";
#define X(name, value, text)                                                                       \
	case value:                                                                                \
		return text;
		PTF_ERROR_CODES(X)
#undef X
	default:
		return "unknown error";
	}
}

static int error_fill(struct ptf_error *err, enum ptf_error_code code, const char *fmt, va_list ap)
{
	if (!err)
		return -(int)code;
	err->code = code;
	err->file_offset = PTF_NO_OFFSET;
	err->aux_offset = PTF_NO_OFFSET;
	err->ip = PTF_NO_OFFSET;
	err->tid = -1;
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	return -(int)code;
}

static void error_append(struct ptf_error *err, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

static void error_append(struct ptf_error *err, const char *fmt, ...)
{
	size_t len = strlen(err->msg);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->msg + len, sizeof(err->msg) - len, fmt, ap);
	va_end(ap);
}

int ptf_error_set(struct ptf_error *err, enum ptf_error_code code, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = error_fill(err, code, fmt, ap);
	va_end(ap);
	return rc;
}

int ptf_error_set_at(
        struct ptf_error *err, enum ptf_error_code code, uint64_t file_offset, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = error_fill(err, code, fmt, ap);
	va_end(ap);
	if (err) {
		err->file_offset = file_offset;
		error_append(err, " (at offset 0x%llx)", (unsigned long long)file_offset);
	}
	return rc;
}

static enum ptf_error_code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ESRCH:
		return PTF_ENOENT;
	case EPERM:
	case EACCES:
		return PTF_EPERM;
	case ENOMEM:
		return PTF_ENOMEM;
	case EINVAL:
		return PTF_EINVAL;
	default:
		return PTF_EIO;
	}
}

int ptf_error_set_errno(struct ptf_error *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = error_fill(err, code_of_errno(errnum), fmt, ap);
	va_end(ap);
	if (err)
		error_append(err, ": %s", strerror(errnum));
	return rc;
}

int ptf_error_prepend(struct ptf_error *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return -PTF_EIO;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	error_append(err, ": %s", old);
	return -(int)err->code;
}
