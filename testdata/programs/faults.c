/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Synchronous faults in the middle of a straight run of instructions: a store to a guard page whose
 * handler makes the page writable (the instruction runs again), and an undefined instruction whose
 * handler steps over it. Built without SSE: some simulators enter handlers with the stack
 * misaligned.
 */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "program.h"

enum { PAGE = 4096, PAGES = 40, TRAPS = 25 };

static char *pages;

COUNTER(on_segv);
COUNTER(on_ill);
COUNTER(open_page);
COUNTER(before_store);
COUNTER(after_store);
COUNTER(touch);
COUNTER(trap);

TRACED static int open_page(char *address)
{
	ENTER(open_page);
	return mprotect(address, PAGE, PROT_READ | PROT_WRITE) | 0;
}

TRACED static void on_segv(int sig, siginfo_t *info, void *context)
{
	char *page = (char *)((unsigned long)info->si_addr & ~(PAGE - 1ul));

	ENTER(on_segv);
	if (page < pages || page >= pages + PAGES * PAGE || open_page(page) != 0)
		__builtin_trap();
}

/* Two bytes: the length of ud2. */
TRACED static void on_ill(int sig, siginfo_t *info, void *context)
{
	ENTER(on_ill);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

TRACED static long before_store(long x)
{
	ENTER(before_store);
	return x + 1;
}

TRACED static long after_store(long x)
{
	ENTER(after_store);
	return x * 3;
}

/* The faulting store has instructions before and after it in its block. */
TRACED static long touch(char *p, long x)
{
	ENTER(touch);
	x = before_store(x);
	__asm__ volatile("lea 5(%0), %0\n\t"
	                 "xor $3, %0\n\t"
	                 "movb $1, (%1)\n\t"
	                 "lea 7(%0), %0\n\t"
	                 "add %0, %0"
	                 : "+r"(x)
	                 : "r"(p)
	                 : "memory", "cc");
	return after_store(x) + 1;
}

TRACED static long trap(long x)
{
	ENTER(trap);
	x = before_store(x);
	__asm__ volatile("lea 5(%0), %0\n\t"
	                 "ud2\n\t"
	                 "lea 7(%0), %0"
	                 : "+r"(x)
	                 :
	                 : "memory", "cc");
	return after_store(x) + 1;
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	sigaction(sig, &action, NULL);
}

int main(void)
{
	long sum = 0;

	pages = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return 1;
	handle(SIGSEGV, on_segv);
	handle(SIGILL, on_ill);
	/* Every page twice: the second store does not fault. */
	for (int i = 0; i < 2 * PAGES; i++)
		sum += touch(pages + i / 2 * PAGE + 64 * (i % 2), i);
	for (int i = 0; i < TRAPS; i++)
		sum += trap(i);
	marker();
	printf("result %ld\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_CALLS(touch);
	PRINT_CALLS(trap);
	PRINT_CALLS(before_store);
	PRINT_CALLS(after_store);
	PRINT_CALLS(on_segv);
	PRINT_CALLS(on_ill);
	PRINT_CALLS(open_page);
	PRINT_THREADS(1);
	return 0;
}
