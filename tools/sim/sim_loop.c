/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calibration loop: prints the CPU time, ns, that it takes for a mixture of what programs do
 * (sorting through a callback, recursion, indirect calls, arithmetic, memory). Run natively and
 * simulated, it gives the dilation of a simulated recording.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NUMBERS 8000
#define ROUNDS 3

static int numbers[NUMBERS];
static volatile uint64_t sink;

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

__attribute__((noinline)) static unsigned count_down(unsigned n)
{
	return n < 2 ? n : count_down(n - 1) + count_down(n - 2);
}

__attribute__((noinline)) static uint64_t mix(uint64_t x)
{
	unsigned i;

	for (i = 0; i < 64; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		numbers[x % NUMBERS] += (int)(x >> 60);
	}
	return x;
}

__attribute__((noinline)) static uint64_t churn(uint64_t x)
{
	return x ^ x >> 7;
}

static void round_of_work(void)
{
	uint64_t (*volatile steps[2])(uint64_t) = {mix, churn};
	uint64_t x = 1;
	unsigned i;

	srand(1);
	for (i = 0; i < NUMBERS; i++)
		numbers[i] = rand();
	qsort(numbers, NUMBERS, sizeof(*numbers), compare);
	for (i = 0; i < 5000; i++)
		x = steps[i & 1](x);
	sink = x + count_down(20);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int main(void)
{
	uint64_t best = UINT64_MAX, start, took;
	int i;

	round_of_work(); /* translates it */
	for (i = 0; i < ROUNDS; i++) {
		start = cpu_ns();
		round_of_work();
		took = cpu_ns() - start;
		best = took < best ? took : best;
	}
	return printf("%lu\n", (unsigned long)best) < 0;
}
