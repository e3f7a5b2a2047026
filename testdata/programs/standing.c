/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standing [DEPTH]: threads that stand deep in their stacks, for a recorder that comes later. The
 * main thread is DEPTH (12000) frames deep and waits for the end of its standard input, then goes
 * back up; the others wait in system calls that a stop must not end early, or run up and down.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { SLEEPER_DEPTH = 10, POLLER_DEPTH = 20, WAITER_DEPTH = 30, SWAYER_DEPTH = 40, THREADS = 4 };

COUNTER(dive);
COUNTER(sway);

static bool done;
static unsigned arrived, interrupted, early;

static void arrive(void)
{
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
}

/* Goes depth frames down and calls bottom there. */
TRACED static unsigned dive(unsigned depth, void (*bottom)(void))
{
	unsigned result = depth;

	ENTER(dive);
	if (depth > 1)
		result += dive(depth - 1, bottom);
	else
		bottom();
	KEEP(result);
	return result;
}

static unsigned long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000000000u + (unsigned long long)ts.tv_nsec;
}

/* What a system call that waits for 200 ms came back with. */
static void note(int result, unsigned long long start_ns)
{
	interrupted += result < 0 && errno == EINTR;
	early += now_ns() - start_ns < 200000000u;
}

TRACED static void sleep_on(void)
{
	struct timespec ts = {.tv_nsec = 200000000};

	arrive();
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		unsigned long long start_ns = now_ns();

		note(nanosleep(&ts, NULL), start_ns);
	}
}

TRACED static void poll_nothing(void)
{
	arrive();
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		unsigned long long start_ns = now_ns();

		note(poll(NULL, 0, 200), start_ns);
	}
}

TRACED static void wait_for_nobody(void)
{
	static int word;
	struct timespec ts = {.tv_nsec = 200000000};

	arrive();
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		unsigned long long start_ns = now_ns();

		note((int)syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0), start_ns);
	}
}

TRACED static unsigned sway(unsigned depth)
{
	unsigned result = depth;

	ENTER(sway);
	if (depth > 1)
		result += sway(depth - 1);
	KEEP(result);
	return result;
}

TRACED static void sway_on(void)
{
	arrive();
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 10; i++)
			sway(SWAYER_DEPTH);
		usleep(1000);
	}
}

static void *sleeper(void *unused)
{
	dive(SLEEPER_DEPTH, sleep_on);
	return unused;
}

static void *poller(void *unused)
{
	dive(POLLER_DEPTH, poll_nothing);
	return unused;
}

static void *waiter(void *unused)
{
	dive(WAITER_DEPTH, wait_for_nobody);
	return unused;
}

static void *swayer(void *unused)
{
	sway_on();
	return unused;
}

TRACED static void wait_for_end_of_input(void)
{
	char c;

	while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < THREADS)
		usleep(1000);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	static void *(*const bodies[THREADS])(void *) = {sleeper, poller, waiter, swayer};
	unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 12000;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, bodies[i], NULL))
			return 1;
	}
	dive(depth, wait_for_end_of_input);
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	PRINT_CALLS(dive);
	PRINT_CALLS(sway);
	PRINT_THREADS(1 + THREADS);
	printf("interrupted %u\n", interrupted);
	printf("early %u\n", early);
	return 0;
}
