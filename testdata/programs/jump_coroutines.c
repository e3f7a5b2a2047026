/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coroutines that setjmp and longjmp switch, as emulators have them: ucontext makes their stacks
 * and is not used again. Two of them are gone on with by turns, from two places; one is left for
 * good.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include "program.h"

enum { STACK_SIZE = 64 * 1024, ROUNDS = 6 };

struct coroutine {
	jmp_buf here, resumer;
	void (*body)(struct coroutine *co);
	unsigned value;
};

COUNTER(change);
COUNTER(go_on);
COUNTER(give);
COUNTER(trampoline);
COUNTER(count_evens);
COUNTER(count_odds);
COUNTER(twice);

static struct coroutine *starting;
static jmp_buf started;
static unsigned sum;

/* Waits in one, goes on in the other. */
TRACED static void change(jmp_buf from, jmp_buf to)
{
	ENTER(change);
	if (_setjmp(from) == 0)
		_longjmp(to, 1);
}

TRACED static void go_on(struct coroutine *co)
{
	ENTER(go_on);
	change(co->resumer, co->here);
	sum += co->value;
}

TRACED static void give(struct coroutine *co, unsigned value)
{
	ENTER(give);
	co->value = value;
	change(co->here, co->resumer);
	KEEP(value);
}

TRACED static void count_evens(struct coroutine *co)
{
	ENTER(count_evens);
	for (unsigned i = 0;; i += 2) {
		marker();
		give(co, i);
	}
}

TRACED static void count_odds(struct coroutine *co)
{
	ENTER(count_odds);
	for (unsigned i = 1;; i += 2) {
		marker();
		give(co, i);
	}
}

TRACED static void trampoline(void)
{
	struct coroutine *volatile co = starting;

	ENTER(trampoline);
	if (_setjmp(co->here) == 0)
		_longjmp(started, 1);
	co->body(co);
	abort();
}

TRACED static void start(struct coroutine *co, void (*body)(struct coroutine *), char *stack)
{
	ucontext_t unused, context;

	starting = co;
	co->body = body;
	getcontext(&context);
	context.uc_stack.ss_sp = stack;
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = NULL;
	makecontext(&context, trampoline, 0);
	if (_setjmp(started) == 0)
		swapcontext(&unused, &context);
}

TRACED static void twice(struct coroutine *co)
{
	ENTER(twice);
	go_on(co);
	go_on(co);
	marker();
	KEEP(co);
}

int main(void)
{
	static char stacks[3][STACK_SIZE] __attribute__((aligned(64)));
	static struct coroutine evens, odds, left;

	start(&evens, count_evens, stacks[0]);
	start(&odds, count_odds, stacks[1]);
	start(&left, count_evens, stacks[2]);
	for (int i = 0; i < ROUNDS; i++) {
		go_on(&evens);
		go_on(&odds);
	}
	twice(&evens);
	marker();
	printf("result %u\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;twice;marker", 1);
	PRINT_PATH("main;go_on;change;trampoline;count_evens;marker", ROUNDS);
	PRINT_PATH("main;go_on;change;trampoline;count_odds;marker", ROUNDS);
	PRINT_PATH("main;twice;go_on;change;trampoline;count_evens;marker", 2);
	PRINT_CALLS(change);
	PRINT_CALLS(go_on);
	PRINT_CALLS(give);
	PRINT_CALLS(trampoline);
	PRINT_CALLS(count_evens);
	PRINT_CALLS(count_odds);
	PRINT_CALLS(twice);
	PRINT_THREADS(1);
	return 0;
}
