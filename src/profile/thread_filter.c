/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "profile/thread_filter.h"

/* Room for the end of the message: " and 4294967295 more". */
enum { LIST_END = 24 };

bool ptf_thread_filter_passes(
        const struct ptf_thread_filter *filter, const struct ptf_thread_timeline *life)
{
	return (!filter->tid || life->tid == filter->tid) &&
	       (!filter->comm || strcmp(life->comm, filter->comm) == 0);
}

bool ptf_thread_filter_passes_tid(const struct ptf_thread_filter *filter, int32_t tid)
{
	if (!filter->tid && !filter->comm)
		return true;
	return ptf_hash_map_find(&filter->tids, (uint32_t)tid) != NULL;
}

/* Appends to text[0..size); returns the new length, which stays below size. */
static size_t append(char *text, size_t at, size_t size, const char *word)
{
	int n = snprintf(text + at, size - at, "%s", word);

	return n < 0 ? at : at + (size_t)n < size ? at + (size_t)n : size - 1;
}

/* "no thread is named 'x'; there are 4711 (redis-server), 4712 (io_thd_1) and 3 more" */
static int none_passes(const struct ptf_thread_filter *filter,
        const struct ptf_thread_timeline *lives, size_t n, struct ptf_error *err)
{
	char text[sizeof(err->msg)], word[64];
	size_t i, at = 0;

	if (filter->tid && filter->comm)
		snprintf(word, sizeof(word), "no thread %" PRId32 " is named '%.20s'", filter->tid,
		        filter->comm);
	else if (filter->tid)
		snprintf(word, sizeof(word), "no thread %" PRId32, filter->tid);
	else
		snprintf(word, sizeof(word), "no thread is named '%.20s'", filter->comm);
	at = append(text, at, sizeof(text), word);
	for (i = 0; i < n; i++) {
		snprintf(word, sizeof(word), "%s%" PRId32 " (%.20s)", i ? ", " : "; there are ",
		        lives[i].tid, *lives[i].comm ? lives[i].comm : "?");
		if (at + strlen(word) + LIST_END > sizeof(text))
			break;
		at = append(text, at, sizeof(text), word);
	}
	if (i < n) {
		snprintf(word, sizeof(word), " and %zu more", n - i);
		append(text, at, sizeof(text), word);
	}
	return ptf_error_set(err, PTF_ENODATA, "%s", text);
}

int ptf_thread_filter_init(struct ptf_thread_filter *filter, int32_t tid, const char *comm,
        const struct ptf_timelines *timelines, struct ptf_error *err)
{
	size_t n;
	const struct ptf_thread_timeline *lives = ptf_timelines_all(timelines, &n);

	*filter = (struct ptf_thread_filter){.tid = tid, .comm = comm};
	if (!tid && !comm)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (ptf_thread_filter_passes(filter, &lives[i]) &&
		        !ptf_hash_map_at(&filter->tids, (uint32_t)lives[i].tid, NULL))
			return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	return filter->tids.n ? 0 : none_passes(filter, lives, n, err);
}

void ptf_thread_filter_release(struct ptf_thread_filter *filter)
{
	ptf_hash_map_release(&filter->tids);
}
