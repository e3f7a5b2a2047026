/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscalls [N]: system calls in known numbers. Two threads pass a byte to and fro N (50) times
 * through pipes, so that one is blocked in read while the other writes; then the main thread asks
 * for its parent 3 N times and sleeps 5 times 2 ms. Counters are of system calls, not of entries
 * into functions of the program: "calls read 101" is what strace counts, too.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

COUNTER(read);
COUNTER(write);
COUNTER(getppid);
COUNTER(clock_nanosleep);

static int there[2], back[2];

TRACED static void take(int fd)
{
	char byte;

	ENTER(read);
	if (read(fd, &byte, 1) != 1)
		abort();
}

TRACED static void give(int fd)
{
	ENTER(write);
	if (write(fd, "x", 1) != 1)
		abort();
}

TRACED static void *answer(void *rounds)
{
	for (long i = *(long *)rounds; i > 0; i--) {
		take(there[0]);
		give(back[1]);
	}
	return NULL;
}

TRACED static void ask(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		give(there[1]);
		take(back[0]);
	}
}

TRACED static void sleep_often(void)
{
	struct timespec ms = {0, 2000000};

	for (int i = 0; i < 5; i++) {
		ENTER(clock_nanosleep);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ms, NULL);
	}
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 0) : 50;
	pthread_t thread;

	/* A stream that is not buffered would write in pieces; this one writes at the end. */
	setvbuf(stdout, NULL, _IOFBF, 4096);
	if (pipe(there) != 0 || pipe(back) != 0 ||
	        pthread_create(&thread, NULL, answer, &rounds) != 0)
		return 1;
	ask(rounds);
	pthread_join(thread, NULL);
	for (long i = 0; i < 3 * rounds; i++) {
		ENTER(getppid);
		getppid();
	}
	sleep_often();
	ENTER(write); /* the one below, when the stream is flushed */
	PRINT_CALLS(read);
	PRINT_CALLS(write);
	PRINT_CALLS(getppid);
	PRINT_CALLS(clock_nanosleep);
	PRINT_THREADS(2);
	return 0;
}
