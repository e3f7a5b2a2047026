/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/log.h"

static ptf_log_sink installed_sink;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;

void ptf_log_set_sink(ptf_log_sink sink)
{
	installed_sink = sink;
}

void ptf_log(enum ptf_log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!installed_sink)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&sink_lock);
	installed_sink(level, text);
	pthread_mutex_unlock(&sink_lock);
}
