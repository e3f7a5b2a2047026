/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions whose place is found when the program runs: in libraries, bound at the first call
 * (bindings) or at start (bindings_now), with stubs for indirect branch tracking (bindings_ibt);
 * and indirect functions, whose resolver is called first.
 */
#include <stdlib.h>
#include <string.h>

#include "program.h"

COUNTER(chosen_plain);
COUNTER(compare);
COUNTER(use_chosen);
COUNTER(use_library);

TRACED static unsigned chosen_plain(unsigned n)
{
	ENTER(chosen_plain);
	marker();
	return n * 5 + 1;
}

TRACED static unsigned (*choose(void))(unsigned)
{
	return chosen_plain;
}

/* Not static: it goes through a stub. */
unsigned chosen(unsigned n) __attribute__((ifunc("choose")));

TRACED static unsigned use_chosen(unsigned n)
{
	unsigned result;

	ENTER(use_chosen);
	result = chosen(n) + 1;
	KEEP(result);
	return result;
}

TRACED static int compare(const void *a, const void *b)
{
	ENTER(compare);
	return *(const int *)a - *(const int *)b;
}

TRACED static unsigned use_library(unsigned n)
{
	int numbers[] = {(int)n, 3, 7};
	char text[16] = "text";

	ENTER(use_library);
	qsort(numbers, 3, sizeof numbers[0], compare);
	KEEP(numbers[0]);
	n = (unsigned)numbers[1] + (unsigned)strlen(text) + (unsigned)abs(numbers[0]);
	marker();
	return n;
}

int main(void)
{
	enum { ROUNDS = 20 };
	unsigned (*volatile pointer)(unsigned) = chosen;
	unsigned sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++)
		sum += use_chosen(i) + pointer(i) + use_library(i);
	marker();
	printf("result %u\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;use_library;marker", ROUNDS);
	PRINT_PATH("main;use_chosen;chosen_plain;marker", ROUNDS);
	PRINT_PATH("main;chosen_plain;marker", ROUNDS);
	PRINT_CALLS(chosen_plain);
	PRINT_CALLS(use_chosen);
	PRINT_CALLS(use_library);
	PRINT_CALLS(compare);
	PRINT_THREADS(1);
	return 0;
}
