/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/proc_info.h"
#include "record/switch_watch.h"

void ptf_switch_watch_release(struct ptf_switch_watch *watch)
{
	ptf_vec_foreach (thread, &watch->threads)
		ptf_switch_ring_release(&thread->ring);
	ptf_vec_release(&watch->threads);
	ptf_hash_map_release(&watch->by_tid);
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for context switches");
}

/* The slot of a thread id, made when there is none. */
static struct ptf_watched_thread *slot(struct ptf_switch_watch *watch, pid_t real_tid)
{
	struct ptf_watched_thread empty = {.real_tid = real_tid, .ring = {.fd = -1}};
	bool made;
	uint64_t *at = ptf_hash_map_at(&watch->by_tid, (uint32_t)real_tid, &made);

	if (!at)
		return NULL;
	if (made) {
		if (!ptf_vec_push(&watch->threads, empty))
			return NULL;
		*at = watch->threads.n - 1;
	}
	return &watch->threads.v[*at];
}

int ptf_switch_watch_add(
        struct ptf_switch_watch *watch, const struct ptf_sim_task *task, struct ptf_error *err)
{
	struct ptf_watched_thread *thread = slot(watch, task->real_tid);
	struct ptf_error why = {0};

	if (!thread)
		return no_memory(err);
	/* A new thread may have the id of one that is gone; a thread that was there before START
	 * comes back after execve, and its event is still good. */
	if (task->time_ns || thread->pid != task->pid)
		ptf_switch_ring_release(&thread->ring);
	thread->pid = task->pid;
	thread->tid = task->tid;
	if (thread->ring.fd >= 0)
		return 0;
	thread->seen = false;
	if (ptf_switch_ring_init(&thread->ring, task->real_tid, &why) == 0 ||
	        why.code == PTF_ENOENT)
		return 0;
	if (!watch->failures++)
		watch->why = why;
	return 0;
}

static int drain_thread(struct ptf_watched_thread *thread, struct ptf_sim_recording *recording,
        struct ptf_error *err)
{
	struct ptf_switch sw;
	int rc = 0;

	while (rc == 0 && ptf_switch_ring_next(&thread->ring, &sw) == 0) {
		thread->seen = true;
		rc = ptf_sim_recording_switch(recording, thread->pid, thread->tid, &sw, err);
	}
	return rc;
}

int ptf_switch_watch_fds(
        const struct ptf_switch_watch *watch, struct ptf_poll_set *set, struct ptf_error *err)
{
	for (size_t i = 0; i < watch->threads.n; i++) {
		struct pollfd at = {.fd = watch->threads.v[i].ring.fd, .events = POLLIN};

		if (!ptf_vec_push(&set->fds, at))
			return no_memory(err);
	}
	return 0;
}

int ptf_switch_watch_drain(struct ptf_switch_watch *watch, const struct pollfd *polled, size_t n,
        struct ptf_sim_recording *recording, struct ptf_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < watch->threads.n && rc == 0; i++) {
		struct ptf_watched_thread *thread = &watch->threads.v[i];

		if (thread->ring.fd < 0)
			continue;
		rc = drain_thread(thread, recording, err);
		/* The end was seen before the ring was emptied: nothing can come after it. */
		if (i < n && (polled[i].revents & POLLHUP))
			ptf_switch_ring_release(&thread->ring);
	}
	return rc;
}

int ptf_switch_watch_sleepers(struct ptf_switch_watch *watch, struct ptf_sim_recording *recording,
        int32_t pid, uint64_t time_ns, struct ptf_error *err)
{
	struct ptf_switch out = {.time_ns = time_ns, .cpu = -1, .out = true};
	int rc = 0;

	for (size_t i = 0; i < watch->threads.n && rc == 0; i++) {
		struct ptf_watched_thread *thread = &watch->threads.v[i];

		if (thread->pid != pid || thread->ring.fd < 0 || thread->seen ||
		        !ptf_proc_sleeps(thread->real_tid))
			continue;
		/* Still no record after the look: it has been asleep all along. */
		rc = drain_thread(thread, recording, err);
		if (rc == 0 && !thread->seen)
			rc = ptf_sim_recording_switch(
			        recording, thread->pid, thread->tid, &out, err);
		thread->seen = true;
	}
	return rc;
}
