/* SPDX-License-Identifier: BSD-2-Clause */
/* Plain recursion: one function calling itself twice, and one whose argument is a call. */
#include "program.h"

COUNTER(fib);
COUNTER(ackermann);

TRACED static unsigned fib(unsigned n)
{
	unsigned result;

	ENTER(fib);
	if (n < 2)
		return n;
	result = fib(n - 1);
	KEEP(result); /* or the second call would become a loop */
	result += fib(n - 2);
	KEEP(result);
	return result;
}

TRACED static unsigned ackermann(unsigned m, unsigned n)
{
	unsigned result;

	ENTER(ackermann);
	if (m == 0)
		return n + 1;
	result = ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
	KEEP(result);
	return result;
}

int main(void)
{
	unsigned sum = fib(15) + ackermann(2, 9);

	marker();
	printf("result %u\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_CALLS(fib);
	PRINT_CALLS(ackermann);
	PRINT_THREADS(1);
	return 0;
}
