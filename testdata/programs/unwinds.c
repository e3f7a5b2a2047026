/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that end in the middle: by pthread_exit, and by pthread_cancel at a cancellation point.
 * Their stacks are unwound by force, through cleanup handlers. (None is cancelled in a system call:
 * libc's handler for that crashes where a simulator enters it with the stack misaligned.)
 */
#include <pthread.h>
#include <stdlib.h>

#include "program.h"

COUNTER(clean);
COUNTER(leaves);
COUNTER(exits_early);
COUNTER(waits);
COUNTER(is_cancelled);
COUNTER(run);

static volatile unsigned cleaned;

TRACED static void clean(void *arg)
{
	ENTER(clean);
	marker();
	cleaned = cleaned + 1;
	KEEP(arg);
}

TRACED static void leaves(unsigned depth)
{
	ENTER(leaves);
	if (depth == 0)
		pthread_exit(NULL);
	leaves(depth - 1);
	KEEP(depth);
}

TRACED static void *exits_early(void *arg)
{
	ENTER(exits_early);
	pthread_cleanup_push(clean, arg);
	leaves(5);
	pthread_cleanup_pop(0);
	return arg;
}

TRACED static void waits(unsigned depth)
{
	ENTER(waits);
	if (depth == 0)
		for (;;)
			pthread_testcancel();
	waits(depth - 1);
	KEEP(depth);
}

TRACED static void *is_cancelled(void *arg)
{
	ENTER(is_cancelled);
	pthread_cleanup_push(clean, arg);
	waits(3);
	pthread_cleanup_pop(0);
	return arg;
}

TRACED static void run(void *(*start)(void *), int cancel)
{
	pthread_t thread;

	ENTER(run);
	if (pthread_create(&thread, NULL, start, NULL))
		abort();
	if (cancel && pthread_cancel(thread))
		abort();
	if (pthread_join(thread, NULL))
		abort();
	marker();
}

int main(void)
{
	enum { ROUNDS = 3 };

	for (int i = 0; i < ROUNDS; i++) {
		run(exits_early, 0);
		run(is_cancelled, 1);
	}
	marker();
	printf("result %u\n", cleaned);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;run;marker", 2 * ROUNDS);
	PRINT_PATH("exits_early;clean;marker", ROUNDS);
	PRINT_PATH("is_cancelled;clean;marker", ROUNDS);
	PRINT_CALLS(run);
	PRINT_CALLS(exits_early);
	PRINT_CALLS(leaves);
	PRINT_CALLS(is_cancelled);
	PRINT_CALLS(waits);
	PRINT_CALLS(clean);
	PRINT_THREADS(1 + 2 * ROUNDS);
	return 0;
}
