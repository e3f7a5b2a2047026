/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Five threads that wait, 40 ms each and each in its own way, three calls deep: asleep, for a
 * mutex, for a condition, in poll, and for a pipe.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { WAIT_MS = 40 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, cond_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t happened = PTHREAD_COND_INITIALIZER;
static int has_happened, pipe_fds[2], silent_fds[2];

COUNTER(wait_nanosleep);
COUNTER(wait_mutex);
COUNTER(wait_cond);
COUNTER(wait_poll);
COUNTER(wait_pipe);
COUNTER(wait_outer);
COUNTER(wait_thread);

static void sleep_ms(int ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000l};

	nanosleep(&t, NULL);
}

TRACED static void wait_nanosleep(void)
{
	ENTER(wait_nanosleep);
	sleep_ms(WAIT_MS);
	__asm__ volatile("");
}

TRACED static void wait_mutex(void)
{
	ENTER(wait_mutex);
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	__asm__ volatile("");
}

TRACED static void wait_cond(void)
{
	ENTER(wait_cond);
	pthread_mutex_lock(&cond_lock);
	while (!has_happened)
		pthread_cond_wait(&happened, &cond_lock);
	pthread_mutex_unlock(&cond_lock);
	__asm__ volatile("");
}

TRACED static void wait_poll(void)
{
	struct pollfd fd = {.fd = silent_fds[0], .events = POLLIN};

	ENTER(wait_poll);
	poll(&fd, 1, WAIT_MS);
	__asm__ volatile("");
}

TRACED static void wait_pipe(void)
{
	char byte;

	ENTER(wait_pipe);
	if (read(pipe_fds[0], &byte, 1) != 1)
		abort();
	marker();
}

TRACED static void wait_outer(void (*wait)(void))
{
	ENTER(wait_outer);
	wait();
	__asm__ volatile("");
}

TRACED static void *wait_thread(void *arg)
{
	ENTER(wait_thread);
	wait_outer(*(void (**)(void))arg);
	return NULL;
}

int main(void)
{
	static void (*ways[])(void) = {wait_nanosleep, wait_mutex, wait_cond, wait_poll, wait_pipe};
	enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
	pthread_t threads[WAYS];

	if (pipe(pipe_fds) != 0 || pipe(silent_fds) != 0)
		return 1;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < WAYS; i++)
		if (pthread_create(&threads[i], NULL, wait_thread, &ways[i]))
			return 1;
	sleep_ms(WAIT_MS);
	pthread_mutex_unlock(&lock);
	pthread_mutex_lock(&cond_lock);
	has_happened = 1;
	pthread_cond_signal(&happened);
	pthread_mutex_unlock(&cond_lock);
	if (write(pipe_fds[1], "x", 1) != 1)
		return 1;
	for (int i = 0; i < WAYS; i++)
		pthread_join(threads[i], NULL);
	PRINT_PATH("wait_thread;wait_outer;wait_pipe;marker", 1);
	PRINT_CALLS(wait_nanosleep);
	PRINT_CALLS(wait_mutex);
	PRINT_CALLS(wait_cond);
	PRINT_CALLS(wait_poll);
	PRINT_CALLS(wait_pipe);
	PRINT_CALLS(wait_outer);
	PRINT_CALLS(wait_thread);
	PRINT_THREADS(1 + WAYS);
	return 0;
}
