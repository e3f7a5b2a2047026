/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coroutines two ways: ucontext (swapcontext makes a system call), and fibers switched by a few
 * instructions of our own, as runtimes do.
 */
#include <stdint.h>
#include <ucontext.h>

#include "program.h"

enum { TASKS = 3, ROUNDS = 20, STACK_SIZE = 64 * 1024 };

/* Saves the callee-saved registers and the stack pointer in *from, and continues `to`. */
void fiber_switch(void **from, void *to);

static char context_stacks[TASKS][STACK_SIZE] __attribute__((aligned(64)));
static char fiber_stacks[TASKS][STACK_SIZE] __attribute__((aligned(64)));
static ucontext_t main_context, contexts[TASKS];
static void *main_fiber, *fibers[TASKS];
static unsigned long sum;

COUNTER(context_task);
COUNTER(context_yield);
COUNTER(context_work);
COUNTER(fiber_task);
COUNTER(fiber_yield);
COUNTER(fiber_work);

TRACED static void context_work(int id, int round)
{
	ENTER(context_work);
	for (int i = 0; i < 10 * (id + 1); i++)
		sum += (unsigned long)(i * round);
}

TRACED static void context_yield(int id)
{
	ENTER(context_yield);
	swapcontext(&contexts[id], &main_context);
	KEEP(id);
}

TRACED static void context_task(int id)
{
	ENTER(context_task);
	for (int round = 0; round < ROUNDS; round++) {
		context_work(id, round);
		context_yield(id);
	}
}

TRACED static void run_contexts(void)
{
	for (int id = 0; id < TASKS; id++) {
		getcontext(&contexts[id]);
		contexts[id].uc_stack.ss_sp = context_stacks[id];
		contexts[id].uc_stack.ss_size = STACK_SIZE;
		contexts[id].uc_link = &main_context;
		makecontext(&contexts[id], (void (*)(void))context_task, 1, id);
	}
	for (int round = 0; round <= ROUNDS; round++)
		for (int id = 0; id < TASKS; id++)
			swapcontext(&main_context, &contexts[id]);
}

TRACED static void fiber_work(int id, int round)
{
	ENTER(fiber_work);
	for (int i = 0; i < 10 * (id + 1); i++)
		sum += (unsigned long)(i ^ round);
}

TRACED static void fiber_yield(int id)
{
	ENTER(fiber_yield);
	fiber_switch(&fibers[id], main_fiber);
	KEEP(id);
}

/* Never returns: its last yield is the end. */
TRACED static void fiber_task(int id)
{
	ENTER(fiber_task);
	for (int round = 0;; round++) {
		fiber_work(id, round);
		fiber_yield(id);
	}
}

static int next_fiber;

static void fiber_entry(void)
{
	fiber_task(next_fiber);
	__builtin_trap();
}

/* A new fiber's stack looks as if it had been switched away from at the entry of fiber_entry. */
TRACED static void make_fiber(int id)
{
	uintptr_t *top = (uintptr_t *)(fiber_stacks[id] + STACK_SIZE);

	*--top = 0; /* keeps the entry's stack aligned as after a call */
	*--top = (uintptr_t)fiber_entry;
	for (int i = 0; i < 6; i++)
		*--top = 0;
	fibers[id] = top;
}

TRACED static void run_fibers(void)
{
	for (int id = 0; id < TASKS; id++)
		make_fiber(id);
	for (int round = 0; round < ROUNDS; round++)
		for (int id = 0; id < TASKS; id++) {
			next_fiber = id;
			fiber_switch(&main_fiber, fibers[id]);
		}
}

int main(void)
{
	run_contexts();
	run_fibers();
	marker();
	printf("result %lu\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_CALLS(context_task);
	PRINT_CALLS(context_work);
	PRINT_CALLS(context_yield);
	PRINT_CALLS(fiber_task);
	PRINT_CALLS(fiber_work);
	PRINT_CALLS(fiber_yield);
	PRINT_THREADS(1);
	return 0;
}
