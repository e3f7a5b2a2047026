/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer [N]: an interval timer interrupts tight loops until N (20) signals have come, wherever they
 * come: between blocks, at calls and returns. Built without SSE: some simulators enter handlers
 * with the stack misaligned.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "program.h"

static volatile unsigned long ticks;

COUNTER(on_alarm);
COUNTER(count_tick);
COUNTER(leaf);
COUNTER(middle);
COUNTER(round_of_work);

TRACED static void count_tick(void)
{
	ENTER(count_tick);
	ticks = ticks + 1;
}

TRACED static void on_alarm(int sig)
{
	ENTER(on_alarm);
	count_tick();
	KEEP(sig);
}

TRACED static unsigned leaf(unsigned x)
{
	ENTER(leaf);
	return x * 2654435761u;
}

TRACED static unsigned middle(unsigned x)
{
	unsigned result;

	ENTER(middle);
	result = leaf(x) + leaf(x + 1);
	KEEP(result);
	return result;
}

TRACED static unsigned round_of_work(unsigned x)
{
	ENTER(round_of_work);
	for (unsigned i = 0; i < 50; i++) {
		x += i;
		KEEP(x);
	}
	for (unsigned i = 0; i < 10; i++)
		x += middle(x);
	return x;
}

int main(int argc, char **argv)
{
	unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 0) : 20;
	struct itimerval every = {{0, 400}, {0, 400}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	unsigned x = 1;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (ticks < wanted)
		x = round_of_work(x);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("result %d\n", x != 0);
	PRINT_CALLS(round_of_work);
	PRINT_CALLS(middle);
	PRINT_CALLS(leaf);
	PRINT_CALLS(on_alarm);
	PRINT_CALLS(count_tick);
	PRINT_THREADS(1);
	return 0;
}
