/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that is not call and return pairs, though it looks so: a call to the next instruction (reads
 * the instruction pointer), retpolines, a push and a return that is a jump; and indirect calls
 * through memory, conditional branches to the next instruction, returns with prefix and operand,
 * functions with a cold part elsewhere, naked functions, code that a call of the next instruction
 * runs twice, and callees that return behind data that follows the call.
 */
#include <stdlib.h>

#include "program.h"

/* idioms_asm.S */
unsigned long own_address(void);
unsigned long retpoline_call(unsigned long (*f)(unsigned long), unsigned long x);
unsigned long push_return(unsigned long (*f)(unsigned long), unsigned long x);
unsigned long memory_call(unsigned long (**f)(unsigned long), unsigned long x);
unsigned long odd_returns(unsigned long x);
unsigned long returns_prefixed(unsigned long x);
unsigned long returns_with_pop(unsigned long x);
unsigned long runs_twice(void (*f)(void));
unsigned long reads_inline(void (*f)(void));

COUNTER(target);
COUNTER(rarely_cold);
COUNTER(report_rare);

TRACED __attribute__((used)) static unsigned long target(unsigned long x)
{
	ENTER(target);
	return x * 3 + 1;
}

__attribute__((cold, noipa)) static void report_rare(unsigned long x)
{
	ENTER(report_rare);
	KEEP(x);
}

/* The compiler moves the rare branch to rarely_cold.cold. */
TRACED static unsigned long rarely_cold(unsigned long x)
{
	ENTER(rarely_cold);
	if (__builtin_expect(x % 10 == 3, 0)) {
		report_rare(x);
		x += target(x);
		report_rare(x);
		x ^= 5;
	}
	return x + target(x) + 1;
}

/* No prologue, and an end in a jump. */
__attribute__((naked, noipa)) static unsigned long naked_jump(unsigned long x)
{
	__asm__("add $1, %rdi\n\tjmp target");
}

int main(void)
{
	enum { ROUNDS = 60 };
	unsigned long (*volatile pointer)(unsigned long) = target, sum = 0;
	unsigned long (*slot)(unsigned long) = pointer;

	for (unsigned long i = 0; i < ROUNDS; i++) {
		sum += own_address() & 1;
		sum += retpoline_call(pointer, i);
		sum += push_return(pointer, i);
		sum += memory_call(&slot, i);
		sum += odd_returns(i);
		sum += rarely_cold(i);
		sum += naked_jump(i);
		sum += runs_twice(marker);
		sum += reads_inline(marker);
	}
	marker();
	printf("result %lu\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;runs_twice;marker", 2 * ROUNDS);
	PRINT_PATH("main;reads_inline;marker", ROUNDS);
	PRINT_CALLS(target);
	PRINT_CALLS(rarely_cold);
	PRINT_CALLS(report_rare);
	/* Written in assembly, where nothing counts: called once a round, the last two twice, and
	 * the first also calls a label of its own. */
	printf("calls own_address %d\n", 2 * ROUNDS);
	printf("calls retpoline_call %d\n", ROUNDS);
	printf("calls push_return %d\n", ROUNDS);
	printf("calls memory_call %d\n", ROUNDS);
	printf("calls odd_returns %d\n", ROUNDS);
	printf("calls returns_prefixed %d\n", 2 * ROUNDS);
	printf("calls returns_with_pop %d\n", 2 * ROUNDS);
	/* Of three calls of runs_twice two are of labels in it. */
	printf("calls naked_jump %d\n", ROUNDS);
	printf("calls runs_twice %d\n", 3 * ROUNDS);
	printf("calls reads_inline %d\n", ROUNDS);
	printf("calls skips_inline %d\n", ROUNDS);
	PRINT_THREADS(1);
	return 0;
}
