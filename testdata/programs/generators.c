/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coroutines of all kinds on hand-written switches, one by a return and one by a jump: generators
 * that are taken from in several places, one that is dropped at its first value, one that is
 * destroyed while it waits, and its stack used again; three that hand over to each other; and many
 * of two kinds that take turns, all waiting in one place.
 */
#include <stdint.h>
#include <stdlib.h>

#include "program.h"

enum { STACK_SIZE = 32 * 1024, VALUES = 8, MANY = 1000, TURNS = 3 };

typedef void switch_fn(void **from, void *to);

/* fiber_switch.S */
switch_fn fiber_switch, jump_switch;

struct generator {
	switch_fn *change;
	void *self, *taker; /* stack pointers while they wait */
	unsigned value;
};

COUNTER(count_up);
COUNTER(give);
COUNTER(take);
COUNTER(take_all);
COUNTER(run_generators);
COUNTER(first_runner);
COUNTER(second_runner);
COUNTER(third_runner);
COUNTER(even_worker);
COUNTER(odd_worker);
COUNTER(even_job);
COUNTER(odd_job);
COUNTER(wait_turn);

static struct generator *starting;
static unsigned long sum;

/* The stack of something that begins with a switch to its entry. */
static void *new_stack(char *stack, void (*entry)(void))
{
	uintptr_t *top = (uintptr_t *)(stack + STACK_SIZE);

	*--top = 0; /* keeps the entry's stack aligned as after a call */
	*--top = (uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--top = 0;
	return top;
}

/* ---- generators ---- */

TRACED static void give(struct generator *g, unsigned value)
{
	ENTER(give);
	g->value = value;
	g->change(&g->self, g->taker);
	KEEP(value);
}

/* Never returns: what it is taken from after VALUES is its last. */
TRACED static void count_up(void)
{
	struct generator *g = starting;

	ENTER(count_up);
	for (unsigned i = 0;; i++) {
		marker();
		give(g, i);
	}
}

TRACED static unsigned take(struct generator *g)
{
	ENTER(take);
	g->change(&g->taker, g->self);
	KEEP(g);
	return g->value;
}

static void begin(struct generator *g, char *stack, switch_fn *change)
{
	g->change = change;
	g->self = new_stack(stack, count_up);
	starting = g;
}

TRACED static void take_all(struct generator *g)
{
	ENTER(take_all);
	for (int i = 0; i < VALUES / 2; i++)
		sum += take(g);
	marker();
	KEEP(g);
}

TRACED static void run_generators(switch_fn *change)
{
	ENTER(run_generators);
	static char stacks[2][STACK_SIZE] __attribute__((aligned(64)));
	struct generator kept, dropped;

	begin(&dropped, stacks[0], change);
	sum += take(&dropped);
	begin(&kept, stacks[1], change);
	for (int i = 0; i < VALUES / 2; i++)
		sum += take(&kept);
	take_all(&kept);                    /* the same generator, from another place */
	begin(&dropped, stacks[0], change); /* the stack of one that waits for ever */
	take_all(&dropped);
	KEEP(change);
}

/* ---- handing over in a circle ---- */

static char circle_stacks[3][STACK_SIZE] __attribute__((aligned(64)));
static void *circle[3], *circle_end;

TRACED static void third_runner(void)
{
	ENTER(third_runner);
	fiber_switch(&circle[2], circle[0]);
	marker();
	fiber_switch(&circle[2], circle_end);
	__builtin_trap();
}

TRACED static void second_runner(void)
{
	ENTER(second_runner);
	fiber_switch(&circle[1], circle[2]);
	marker();
	fiber_switch(&circle[1], circle[2]);
	__builtin_trap();
}

TRACED static void first_runner(void)
{
	ENTER(first_runner);
	fiber_switch(&circle[0], circle[1]);
	marker();
	fiber_switch(&circle[0], circle[1]);
	__builtin_trap();
}

TRACED static void run_circle(void)
{
	circle[0] = new_stack(circle_stacks[0], first_runner);
	circle[1] = new_stack(circle_stacks[1], second_runner);
	circle[2] = new_stack(circle_stacks[2], third_runner);
	fiber_switch(&circle_end, circle[0]);
	marker();
	__asm__ volatile("");
}

/* ---- many that take turns ---- */

static struct worker {
	void *self;
} workers[MANY];
static void *scheduler;
static unsigned now_running;

TRACED static void wait_turn(void)
{
	ENTER(wait_turn);
	fiber_switch(&workers[now_running].self, scheduler);
	__asm__ volatile("");
}

TRACED static void even_job(void)
{
	ENTER(even_job);
	wait_turn();
	sum += 2;
	__asm__ volatile("");
}

TRACED static void odd_job(void)
{
	ENTER(odd_job);
	wait_turn();
	sum += 3;
	__asm__ volatile("");
}

/* Each job but the last, for which nobody calls, is followed by a mark. */
TRACED static void even_worker(void)
{
	ENTER(even_worker);
	for (;;) {
		even_job();
		marker();
	}
}

TRACED static void odd_worker(void)
{
	ENTER(odd_worker);
	for (;;) {
		odd_job();
		marker();
	}
}

TRACED static void run_many(void)
{
	char *stacks = malloc((size_t)MANY * STACK_SIZE + 64);
	char *first = (char *)(((uintptr_t)stacks + 63) & ~(uintptr_t)63);

	if (!stacks)
		abort();
	for (unsigned i = 0; i < MANY; i++)
		workers[i].self =
		        new_stack(first + (size_t)i * STACK_SIZE, i % 2 ? odd_worker : even_worker);
	for (unsigned turn = 0; turn < TURNS; turn++)
		for (now_running = 0; now_running < MANY; now_running++)
			fiber_switch(&scheduler, workers[now_running].self);
	marker();
	free(stacks);
}

TRACED static void by_return(void)
{
	run_generators(fiber_switch);
	marker();
	__asm__ volatile("");
}

TRACED static void by_jump(void)
{
	run_generators(jump_switch);
	marker();
	__asm__ volatile("");
}

static void print_generator_paths(const char *name)
{
	printf("path main;%s;marker 1\n", name);
	printf("path main;%s;run_generators;take_all;marker 2\n", name);
	/* The first value of each of three, and what two of them gave until they were left. */
	printf("path main;%s;run_generators;take;count_up;marker %d\n", name, 1 + VALUES / 2);
	printf("path main;%s;run_generators;take_all;take;count_up;marker %d\n", name, VALUES);
}

int main(void)
{
	by_return();
	by_jump();
	run_circle();
	run_many();
	marker();
	printf("result %lu\n", sum);
	PRINT_PATH("main;marker", 1);
	print_generator_paths("by_return");
	print_generator_paths("by_jump");
	PRINT_PATH("main;run_circle;marker", 1);
	PRINT_PATH("main;run_circle;first_runner;marker", 1);
	PRINT_PATH("main;run_circle;first_runner;second_runner;marker", 1);
	PRINT_PATH("main;run_circle;first_runner;second_runner;third_runner;marker", 1);
	PRINT_PATH("main;run_many;marker", 1);
	PRINT_PATH("main;run_many;even_worker;marker", (TURNS - 1) * MANY / 2);
	PRINT_PATH("main;run_many;odd_worker;marker", (TURNS - 1) * MANY / 2);
	PRINT_CALLS(count_up);
	PRINT_CALLS(give);
	PRINT_CALLS(take);
	PRINT_CALLS(take_all);
	PRINT_CALLS(run_generators);
	PRINT_CALLS(first_runner);
	PRINT_CALLS(second_runner);
	PRINT_CALLS(third_runner);
	PRINT_CALLS(even_worker);
	PRINT_CALLS(odd_worker);
	PRINT_CALLS(even_job);
	PRINT_CALLS(odd_job);
	PRINT_CALLS(wait_turn);
	PRINT_THREADS(1);
	return 0;
}
