/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include <ptflame/error.h>

#include "base/thread_pool.h"

/* Results that may wait for an earlier, slower job, for each thread. */
enum { WINDOW_PER_THREAD = 16 };

struct slot {
	void *result;
	bool ready;
};

struct pool {
	const struct ptf_jobs *jobs;
	size_t count;    /* jobs */
	size_t next;     /* first job that no worker has taken */
	size_t finished; /* first job whose result was not handed over */
	size_t window;   /* slots */
	bool stop;
	struct slot *slots; /* job j in slot j % window */
	pthread_mutex_t lock;
	pthread_cond_t work_ready; /* the window moved, or stop */
	pthread_cond_t done_ready; /* a result came in */
};

struct worker {
	struct pool *pool;
	unsigned index;
	pthread_t thread;
};

unsigned ptf_thread_count(unsigned n)
{
	cpu_set_t cpus;
	int usable;

	if (n)
		return n;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	usable = CPU_COUNT(&cpus);
	return usable > 0 ? (unsigned)usable : 1;
}

/* Takes the next job inside the window; false when there is none left. */
static bool take_job(struct pool *pool, size_t *job)
{
	bool taken;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop && pool->next < pool->count &&
	        pool->next >= pool->finished + pool->window)
		pthread_cond_wait(&pool->work_ready, &pool->lock);
	taken = !pool->stop && pool->next < pool->count;
	if (taken)
		*job = pool->next++;
	pthread_mutex_unlock(&pool->lock);
	return taken;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct pool *pool = worker->pool;
	size_t job;

	while (take_job(pool, &job)) {
		void *result = pool->jobs->work(pool->jobs->context, worker->index, job);

		pthread_mutex_lock(&pool->lock);
		pool->slots[job % pool->window] = (struct slot){.result = result, .ready = true};
		pthread_cond_signal(&pool->done_ready);
		pthread_mutex_unlock(&pool->lock);
	}
	return NULL;
}

/* Hands results over in order until all are done or `done` fails. */
static int collect(struct pool *pool)
{
	int rc = 0;

	for (size_t job = 0; job < pool->count && rc >= 0; job++) {
		struct slot *slot = &pool->slots[job % pool->window];
		void *result;

		pthread_mutex_lock(&pool->lock);
		while (!slot->ready)
			pthread_cond_wait(&pool->done_ready, &pool->lock);
		result = slot->result;
		*slot = (struct slot){0};
		pool->finished = job + 1;
		pthread_cond_broadcast(&pool->work_ready);
		pthread_mutex_unlock(&pool->lock);
		rc = pool->jobs->done(pool->jobs->context, job, result);
	}
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work_ready);
	pthread_mutex_unlock(&pool->lock);
	return rc < 0 ? rc : 0;
}

static int run_serial(const struct ptf_jobs *jobs, size_t count)
{
	int rc = 0;

	for (size_t job = 0; job < count && rc >= 0; job++)
		rc = jobs->done(jobs->context, job, jobs->work(jobs->context, 0, job));
	return rc < 0 ? rc : 0;
}

static int run_threads(struct pool *pool, struct worker *workers, unsigned threads)
{
	unsigned started = 0;
	int rc;

	while (started < threads) {
		workers[started] = (struct worker){.pool = pool, .index = started};
		if (pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]))
			break;
		started++;
	}
	if (!started)
		return run_serial(pool->jobs, pool->count);
	rc = collect(pool);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	for (size_t i = 0; i < pool->window; i++) {
		if (pool->slots[i].ready && pool->jobs->drop)
			pool->jobs->drop(pool->jobs->context, pool->slots[i].result);
	}
	return rc;
}

int ptf_jobs_run(const struct ptf_jobs *jobs, size_t count, unsigned threads)
{
	struct pool pool = {.jobs = jobs, .count = count, .window = threads * WINDOW_PER_THREAD};
	struct worker *workers;
	int rc = -PTF_ENOMEM;

	if (threads <= 1 || count <= 1)
		return run_serial(jobs, count);
	pool.slots = calloc(pool.window, sizeof(*pool.slots));
	workers = calloc(threads, sizeof(*workers));
	if (pool.slots && workers) {
		pthread_mutex_init(&pool.lock, NULL);
		pthread_cond_init(&pool.work_ready, NULL);
		pthread_cond_init(&pool.done_ready, NULL);
		rc = run_threads(&pool, workers, threads);
		pthread_cond_destroy(&pool.done_ready);
		pthread_cond_destroy(&pool.work_ready);
		pthread_mutex_destroy(&pool.lock);
	}
	free(workers);
	free(pool.slots);
	return rc;
}
