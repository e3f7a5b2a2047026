/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setjmp, then longjmp out of ten frames; out of one, which lands in the caller's own frame; and
 * back to one frame of a recursive function, past others of the same function.
 */
#include <setjmp.h>

#include "program.h"

static jmp_buf top, near, landing;

COUNTER(descend);
COUNTER(round_trip);
COUNTER(short_trip);
COUNTER(jump_out);
COUNTER(after);
COUNTER(climb);

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

/* The frame at depth `owner` calls setjmp, the one at depth 0 jumps there. */
TRACED static void climb(int depth, int owner)
{
	ENTER(climb);
	if (depth == owner && setjmp(landing) != 0) {
		marker();
		return;
	}
	if (depth == 0)
		longjmp(landing, 1);
	climb(depth - 1, owner);
	KEEP(depth);
}

int main(void)
{
	int sum = 0;

	for (int i = 0; i < 50; i++)
		sum += round_trip() + short_trip();
	climb(8, 5);
	climb(3, 3);
	marker();
	printf("result %d\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;climb;climb;climb;climb;marker", 1);
	PRINT_PATH("main;climb;marker", 1);
	PRINT_CALLS(round_trip);
	PRINT_CALLS(descend);
	PRINT_CALLS(short_trip);
	PRINT_CALLS(jump_out);
	PRINT_CALLS(after);
	PRINT_CALLS(climb);
	PRINT_THREADS(1);
	return 0;
}
