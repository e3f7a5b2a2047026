/* SPDX-License-Identifier: BSD-2-Clause */
/* setjmp, then longjmp out of ten frames; and out of one, which lands in the caller's own frame. */
#include <setjmp.h>

#include "program.h"

static jmp_buf top, near;

COUNTER(descend);
COUNTER(round_trip);
COUNTER(short_trip);
COUNTER(jump_out);
COUNTER(after);

TRACED static void descend(int depth)
{
	ENTER(descend);
	if (depth == 0)
		longjmp(top, 42);
	else
		descend(depth - 1);
	KEEP(depth);
}

TRACED static int after(int n)
{
	ENTER(after);
	return n + 1;
}

TRACED static int round_trip(void)
{
	int value;

	ENTER(round_trip);
	value = setjmp(top);
	if (value == 0)
		descend(9);
	return after(value) + 1;
}

TRACED static void jump_out(void)
{
	ENTER(jump_out);
	longjmp(near, 1);
}

TRACED static int short_trip(void)
{
	volatile int rounds = 0;

	ENTER(short_trip);
	while (setjmp(near) == 0 || rounds < 5) {
		rounds = rounds + 1;
		jump_out();
	}
	return after(rounds) + 1;
}

int main(void)
{
	int sum = 0;

	for (int i = 0; i < 50; i++)
		sum += round_trip() + short_trip();
	printf("result %d\n", sum);
	PRINT_CALLS(round_trip);
	PRINT_CALLS(descend);
	PRINT_CALLS(short_trip);
	PRINT_CALLS(jump_out);
	PRINT_CALLS(after);
	PRINT_THREADS(1);
	return 0;
}
