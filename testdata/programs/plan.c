/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan [BUSY SLEEP MUTEX FSYNC]: spends wall-clock time according to a plan, in milliseconds (20
 * 30 25 each, 5 rounds of fsync): computing, asleep, waiting for a mutex that another thread holds,
 * and writing to disk. Says how long each part took by the clock.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t held;
static volatile unsigned long sink;

COUNTER(plan_busy);
COUNTER(plan_sleep);
COUNTER(plan_mutex);
COUNTER(plan_fsync);
COUNTER(hold_mutex);

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000l};

	nanosleep(&t, NULL);
}

TRACED static void plan_busy(unsigned ms)
{
	unsigned long long end = now() + ms * 1000000ull;

	ENTER(plan_busy);
	while (now() < end)
		for (int i = 0; i < 1000; i++)
			sink = sink + 1;
}

TRACED static void plan_sleep(unsigned ms)
{
	ENTER(plan_sleep);
	sleep_ms(ms);
	KEEP(ms);
}

TRACED static void *hold_mutex(void *arg)
{
	ENTER(hold_mutex);
	pthread_mutex_lock(&lock);
	pthread_barrier_wait(&held);
	sleep_ms(*(unsigned *)arg);
	pthread_mutex_unlock(&lock);
	return NULL;
}

TRACED static void plan_mutex(unsigned ms)
{
	pthread_t holder;

	ENTER(plan_mutex);
	pthread_barrier_init(&held, NULL, 2);
	if (pthread_create(&holder, NULL, hold_mutex, &ms))
		abort();
	pthread_barrier_wait(&held);
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	pthread_join(holder, NULL);
}

TRACED static void plan_fsync(unsigned rounds)
{
	char name[] = "/tmp/ptflame-plan-XXXXXX", block[4096];
	int fd = mkstemp(name);

	ENTER(plan_fsync);
	if (fd < 0)
		abort();
	unlink(name);
	memset(block, 'x', sizeof block);
	for (unsigned i = 0; i < rounds; i++)
		if (write(fd, block, sizeof block) != sizeof block || fsync(fd) != 0)
			abort();
	close(fd);
}

#define TIMED(f, amount)                                                                           \
	do {                                                                                       \
		unsigned long long before = now();                                                 \
		f(amount);                                                                         \
		printf("time %s %llu\n", #f, now() - before);                                      \
	} while (0)

static unsigned argument(int argc, char **argv, int i, unsigned otherwise)
{
	return argc > i ? (unsigned)strtoul(argv[i], NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	TIMED(plan_busy, argument(argc, argv, 1, 20));
	TIMED(plan_sleep, argument(argc, argv, 2, 30));
	TIMED(plan_mutex, argument(argc, argv, 3, 25));
	TIMED(plan_fsync, argument(argc, argv, 4, 5));
	PRINT_CALLS(plan_busy);
	PRINT_CALLS(plan_sleep);
	PRINT_CALLS(plan_mutex);
	PRINT_CALLS(plan_fsync);
	PRINT_CALLS(hold_mutex);
	PRINT_THREADS(2);
	return 0;
}
