/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sort [N]: sorts N (2000) pseudo-random integers by libc's qsort, whose callback is ours. With a
 * large N it is the program for measuring speed: 1,000,000 make some 20 million calls.
 */
#include <stdlib.h>

#include "program.h"

COUNTER(compare_ints);
COUNTER(fill);
COUNTER(checksum);

TRACED static int compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	ENTER(compare_ints);
	return (x > y) - (x < y);
}

TRACED static void fill(int *v, size_t n)
{
	unsigned x = 12345;

	ENTER(fill);
	for (size_t i = 0; i < n; i++) {
		x = x * 1103515245u + 12345u;
		v[i] = (int)(x >> 1);
	}
}

TRACED static unsigned checksum(const int *v, size_t n)
{
	unsigned sum = 0;

	ENTER(checksum);
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned)v[i];
	return sum;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000;
	int *v = malloc((n ? n : 1) * sizeof *v);

	if (!v)
		return 1;
	fill(v, n);
	qsort(v, n, sizeof *v, compare_ints);
	marker();
	printf("result %u\n", checksum(v, n));
	PRINT_PATH("main;marker", 1);
	free(v);
	PRINT_CALLS(fill);
	PRINT_CALLS(compare_ints);
	PRINT_CALLS(checksum);
	PRINT_THREADS(1);
	return 0;
}
