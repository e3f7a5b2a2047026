/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Indirect calls, tail calls and returns through the thunks that compilers make against
 * speculation. Built four ways: thunks shared (thunks), of every place its own (thunks_inline), of
 * the program (thunks_extern), and for returns (thunks_return).
 */
#include "program.h"

/* Calls of labels inside of a function count as its calls: two make an inline thunk for a call, one
 * makes one for a jump. */
#ifdef INLINE_THUNKS
enum { LABELS_OF_CALL = 2, LABELS_OF_JUMP = 1 };
#else
enum { LABELS_OF_CALL, LABELS_OF_JUMP = 0 };
#endif

COUNTER(add_one);
COUNTER(times_three);
COUNTER(apply);
COUNTER(apply_last);
COUNTER(deep);

typedef unsigned unary(unsigned n);

TRACED static unsigned add_one(unsigned n)
{
	ENTER(add_one);
	return n + 1;
}

TRACED static unsigned times_three(unsigned n)
{
	ENTER(times_three);
	marker();
	return n * 3;
}

TRACED static unsigned apply(unary *f, unsigned n)
{
	unsigned result;

	ENTER(apply);
	result = f(n) + 1;
	KEEP(result);
	return result;
}

/* A tail call through a pointer. */
TRACED static unsigned apply_last(unary *f, unsigned n)
{
	ENTER(apply_last);
	return f(n);
}

TRACED static unsigned deep(unary *f, unsigned n, unsigned depth)
{
	unsigned result;

	ENTER(deep);
	result = depth ? deep(f, n, depth - 1) + 1 : apply_last(f, n) + apply(f, n);
	KEEP(result);
	return result;
}

int main(void)
{
	enum { ROUNDS = 40 };
	unary *volatile functions[] = {add_one, times_three};
	unsigned sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++)
		sum += apply(functions[i % 2], i) + apply_last(functions[i % 2], i) +
		       deep(functions[i % 2], i, 2);
	marker();
	printf("result %u\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;apply;times_three;marker", ROUNDS / 2);
	PRINT_PATH("main;times_three;marker", ROUNDS / 2);
	PRINT_PATH("main;deep;deep;deep;apply;times_three;marker", ROUNDS / 2);
	PRINT_PATH("main;deep;deep;deep;times_three;marker", ROUNDS / 2);
	PRINT_CALLS(add_one);
	PRINT_CALLS(times_three);
	printf("calls apply %lu\n", calls_apply * (1 + LABELS_OF_CALL));
	printf("calls apply_last %lu\n", calls_apply_last * (1 + LABELS_OF_JUMP));
	PRINT_CALLS(deep);
	PRINT_THREADS(1);
	return 0;
}
