/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * latency [ROUNDS [sleep]]: requests of planned lengths over two paths; every hundredth takes a
 * slow path: it computes 30 times as long and, with `sleep`, waits for 3 ms. Tells of every request
 * what was planned and, with `sleep`, what the clock said:
 *
 *     request CALLER LOOPS SLOW_LOOPS [NS]
 *
 * A loop is two instructions. NS is the time from before the call until after it, less what reading
 * the clock takes.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program.h"

enum { MAX_ROUNDS = 100000, SLOW = 30, WAIT_NS = 3000000 };

COUNTER(spin);
COUNTER(slow_path);
COUNTER(request);
COUNTER(from_left);
COUNTER(from_right);

static bool sleeps;
static unsigned loops[MAX_ROUNDS];
static unsigned long long took[MAX_ROUNDS];

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

TRACED static void spin(unsigned n)
{
	ENTER(spin);
	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
}

TRACED static void slow_path(unsigned n)
{
	struct timespec wait = {0, WAIT_NS};

	ENTER(slow_path);
	spin(n);
	if (sleeps)
		nanosleep(&wait, NULL);
	KEEP(n);
}

static bool is_slow(unsigned round)
{
	return round % 100 == 37;
}

TRACED static void request(unsigned round)
{
	ENTER(request);
	spin(loops[round]);
	if (is_slow(round))
		slow_path(loops[round] * SLOW);
	KEEP(round);
}

TRACED static void from_left(unsigned round)
{
	ENTER(from_left);
	request(round);
	KEEP(round);
}

TRACED static void from_right(unsigned round)
{
	ENTER(from_right);
	request(round);
	KEEP(round);
}

/* ns for reading the clock once: the least that was seen. */
static unsigned long long clock_cost(void)
{
	unsigned long long least = ~0ull;

	for (int i = 0; i < 100; i++) {
		unsigned long long start = now(), end = now();

		if (end - start < least)
			least = end - start;
	}
	return least;
}

static void run(unsigned round, unsigned long long cost)
{
	unsigned long long start = sleeps ? now() : 0;

	if (round % 3)
		from_left(round);
	else
		from_right(round);
	if (sleeps)
		took[round] = now() - start - cost;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	unsigned long long cost;

	if (rounds > MAX_ROUNDS)
		return 1;
	sleeps = argc > 2 && strcmp(argv[2], "sleep") == 0;
	cost = sleeps ? clock_cost() : 0;
	for (unsigned i = 0; i < rounds; i++)
		loops[i] = (sleeps ? 60000 : 200) + i * 7919 % 1000 * (i % 3 ? 1 : 4);
	for (unsigned i = 0; i < rounds; i++)
		run(i, cost);
	for (unsigned i = 0; i < rounds; i++) {
		printf("request %s %u %u", i % 3 ? "from_left" : "from_right", loops[i],
		        is_slow(i) ? loops[i] * SLOW : 0);
		printf(sleeps ? " %llu\n" : "\n", took[i]);
	}
	PRINT_CALLS(spin);
	PRINT_CALLS(slow_path);
	PRINT_CALLS(request);
	PRINT_CALLS(from_left);
	PRINT_CALLS(from_right);
	PRINT_THREADS(1);
	return 0;
}
