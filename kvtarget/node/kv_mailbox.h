/* SPDX-License-Identifier: BSD-2-Clause */
/* What other threads leave for a thread: events in order. The receiver sleeps on the condition, or
 * in its event loop, which the mailbox then wakes. */
#ifndef KV_MAILBOX_H
#define KV_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#include "common/kv_alloc.h"

enum kv_event_type {
	KV_EVENT_REQUEST,    /* struct kv_request */
	KV_EVENT_PERSISTED,  /* struct kv_note, index: write batch */
	KV_EVENT_FAILED,     /* struct kv_note, text: why the node has to stop */
	KV_EVENT_SNAPSHOT,   /* struct kv_note, index: a snapshot of it is on disk */
	KV_EVENT_SOCKET,     /* struct kv_note, fd; index: the member's id, or 0 for a client */
	KV_EVENT_DROP_LOCKS, /* struct kv_note: leadership is lost, and all locks with it */
	KV_EVENT_BATCH,      /* struct kv_apply_batch */
	KV_EVENT_CAPTURE,    /* struct kv_capture */
	KV_EVENT_STOP,       /* struct kv_note */
};

/* First member of everything that is sent. */
struct kv_event {
	enum kv_event_type type;
};

/* An event that is little more than its type; freed by the receiver. */
struct kv_note {
	struct kv_event event;
	uint64_t index;
	int fd;
	char text[256];
};

PTF_VEC_TYPEDEF(kv_events, struct kv_event *);

struct kv_mailbox {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	uv_async_t *async; /* NULL: the receiver waits for the condition */
	struct kv_events events;
};

static inline void kv_mailbox_init(struct kv_mailbox *box, uv_async_t *async)
{
	pthread_condattr_t attr;

	*box = (struct kv_mailbox){.async = async};
	pthread_mutex_init(&box->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&box->wake, &attr);
	pthread_condattr_destroy(&attr);
}

static inline void kv_mailbox_push(struct kv_mailbox *box, struct kv_event *event)
{
	bool first;

	pthread_mutex_lock(&box->mutex);
	first = box->events.n == 0;
	kv_vec_push(&box->events, event);
	if (first && !box->async)
		pthread_cond_signal(&box->wake);
	pthread_mutex_unlock(&box->mutex);
	if (first && box->async)
		uv_async_send(box->async);
}

static inline void kv_mailbox_note(
        struct kv_mailbox *box, enum kv_event_type type, uint64_t index, int fd)
{
	struct kv_note *note = kv_alloc(sizeof(*note));

	note->event.type = type;
	note->index = index;
	note->fd = fd;
	kv_mailbox_push(box, &note->event);
}

/* Takes what is there; `events` (released by the caller) may be empty. */
static inline struct kv_events kv_mailbox_take(struct kv_mailbox *box)
{
	struct kv_events events;

	pthread_mutex_lock(&box->mutex);
	events = box->events;
	box->events = (struct kv_events){0};
	pthread_mutex_unlock(&box->mutex);
	return events;
}

/* The same, after waiting up to timeout_ms (0: for ever) for something to come. */
static inline struct kv_events kv_mailbox_wait(struct kv_mailbox *box, unsigned timeout_ms)
{
	struct kv_events events;
	struct timespec until;
	int status = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&box->mutex);
	while (!box->events.n && !status)
		status = timeout_ms ? pthread_cond_timedwait(&box->wake, &box->mutex, &until)
		                    : pthread_cond_wait(&box->wake, &box->mutex);
	events = box->events;
	box->events = (struct kv_events){0};
	pthread_mutex_unlock(&box->mutex);
	return events;
}

#endif
