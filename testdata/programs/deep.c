/* SPDX-License-Identifier: BSD-2-Clause */
/* deep [N]: recursion N (10000) frames deep and back, three times. */
#include <stdlib.h>

#include "program.h"

COUNTER(dive);

TRACED static unsigned dive(unsigned depth)
{
	unsigned result;

	ENTER(dive);
	if (depth == 0)
		return 1;
	result = dive(depth - 1) * 3 + depth;
	KEEP(result);
	return result;
}

int main(int argc, char **argv)
{
	unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 10000, sum = 0;

	for (int i = 0; i < 3; i++)
		sum += dive(depth - 1);
	marker();
	printf("result %u\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_CALLS(dive);
	PRINT_THREADS(1);
	return 0;
}
