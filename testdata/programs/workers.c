/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workers [MS]: four threads that each spend their time by one plan, MS milliseconds long: 30 %
 * computing (by the clock of their CPU time), 40 % asleep, 20 % waiting for a mutex, 10 % in fsync;
 * each begins with another part. workers MS rivals: two threads on one CPU that compute for MS
 * milliseconds.
 *
 * Each thread, named worker0..., says how long its parts took by the clock, and how long it was on
 * a CPU (cpu).
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { WORKERS = 4, PARTS = 4 };

struct worker {
	pthread_t thread;
	unsigned number, ms;
	pthread_mutex_t lock;                /* main holds it until the wait has lasted */
	_Atomic unsigned long long waits_ns; /* since when it waits, 0: not */
	unsigned long long wall_ns[PARTS], cpu_ns;
};

static volatile unsigned long sink;

static unsigned long long now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static void sleep_ns(unsigned long long ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	nanosleep(&t, NULL);
}

/* Long stretches without a branch: a trace of few packets, which nobody has to wait for. */
static void compute(void)
{
	unsigned long x = sink;

	for (int i = 0; i < 2000; i++) {
#pragma GCC unroll 100
		for (int k = 0; k < 100; k++) {
			x = x * 3 + 1;
			KEEP(x);
		}
	}
	sink = x;
}

TRACED static void part_busy(struct worker *w)
{
	unsigned long long end = now(CLOCK_THREAD_CPUTIME_ID) + w->ms * 300000ull;

	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		compute();
}

TRACED static void part_sleep(struct worker *w)
{
	sleep_ns(w->ms * 400000ull);
	KEEP(w);
}

TRACED static void part_mutex(struct worker *w)
{
	w->waits_ns = now(CLOCK_MONOTONIC);
	pthread_mutex_lock(&w->lock);
	pthread_mutex_unlock(&w->lock);
	KEEP(w);
}

TRACED static void part_fsync(struct worker *w)
{
	unsigned long long end = now(CLOCK_MONOTONIC) + w->ms * 100000ull;
	char name[] = "/tmp/ptflame-workers-XXXXXX", block[4096];
	int fd = mkstemp(name);

	if (fd < 0)
		abort();
	unlink(name);
	memset(block, 'x', sizeof block);
	while (now(CLOCK_MONOTONIC) < end)
		if (write(fd, block, sizeof block) != sizeof block || fsync(fd) != 0)
			abort();
	close(fd);
}

static void begin(const struct worker *w)
{
	char name[16];

	snprintf(name, sizeof name, "worker%u", w->number);
	pthread_setname_np(pthread_self(), name);
}

static void *work(void *arg)
{
	static void (*const parts[PARTS])(struct worker *) = {
	        part_busy, part_sleep, part_mutex, part_fsync};
	struct worker *w = arg;
	unsigned long long before = now(CLOCK_THREAD_CPUTIME_ID);

	begin(w);
	for (unsigned i = 0; i < PARTS; i++) {
		unsigned part = (w->number + i) % PARTS;
		unsigned long long start = now(CLOCK_MONOTONIC);

		parts[part](w);
		w->wall_ns[part] = now(CLOCK_MONOTONIC) - start;
	}
	w->cpu_ns = now(CLOCK_THREAD_CPUTIME_ID) - before;
	return NULL;
}

/* Lets each worker go that has waited long enough; until all did. */
static void hold_locks(struct worker *workers, unsigned n)
{
	for (unsigned free = 0; free < n;) {
		unsigned long long time = now(CLOCK_MONOTONIC);

		for (unsigned i = 0; i < n; i++) {
			struct worker *w = &workers[i];

			if (!w->waits_ns || time < w->waits_ns + w->ms * 200000ull)
				continue;
			w->waits_ns = 0;
			pthread_mutex_unlock(&w->lock);
			free++;
		}
		sleep_ns(1000000);
	}
}

TRACED static void rival_busy(struct worker *w)
{
	unsigned long long end = now(CLOCK_MONOTONIC) + w->ms * 1000000ull;

	while (now(CLOCK_MONOTONIC) < end)
		compute();
}

static void *compete(void *arg)
{
	struct worker *w = arg;
	unsigned long long cpu = now(CLOCK_THREAD_CPUTIME_ID), start;

	begin(w);
	start = now(CLOCK_MONOTONIC);
	rival_busy(w);
	w->wall_ns[0] = now(CLOCK_MONOTONIC) - start;
	w->cpu_ns = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	return NULL;
}

/* All of the process on one of the CPUs that it may use. */
static void take_one_cpu(void)
{
	cpu_set_t allowed, one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		abort();
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) != 0)
		abort();
}

static void print_times(const struct worker *w, int rivals)
{
	static const char *const names[PARTS] = {
	        "part_busy", "part_sleep", "part_mutex", "part_fsync"};

	for (int i = 0; i < (rivals ? 1 : PARTS); i++)
		printf("time worker%u:%s %llu\n", w->number, rivals ? "rival_busy" : names[i],
		        w->wall_ns[i]);
	printf("time worker%u:cpu %llu\n", w->number, w->cpu_ns);
}

int main(int argc, char **argv)
{
	static struct worker workers[WORKERS];
	int rivals = argc > 2 && strcmp(argv[2], "rivals") == 0;
	unsigned n = rivals ? 2 : WORKERS,
	         ms = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 100;

	if (rivals)
		take_one_cpu();
	for (unsigned i = 0; i < n; i++) {
		workers[i].number = i;
		workers[i].ms = ms;
		pthread_mutex_init(&workers[i].lock, NULL);
		pthread_mutex_lock(&workers[i].lock);
		if (pthread_create(&workers[i].thread, NULL, rivals ? compete : work, &workers[i]))
			abort();
	}
	if (!rivals)
		hold_locks(workers, n);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		print_times(&workers[i], rivals);
	}
	PRINT_THREADS(n + 1);
	return 0;
}
