/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals that a program sends to itself: nested handlers, one on an alternate stack, and handlers
 * left by siglongjmp, two at once as well; one that has the interrupted code call a function, and
 * one that never returns. Built without SSE: some simulators enter handlers with the stack
 * misaligned.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "program.h"

static sigjmp_buf out;
static char alternate_stack[64 * 1024] __attribute__((aligned(64)));
static volatile unsigned long seen;

COUNTER(on_outer);
COUNTER(on_inner);
COUNTER(on_alternate);
COUNTER(on_escape);
COUNTER(handler_work);
COUNTER(send);
COUNTER(nested_round);
COUNTER(escape_round);
COUNTER(escape_from);
COUNTER(on_chain);
COUNTER(escape_chain);
COUNTER(escape_alternate);
COUNTER(on_trap);
COUNTER(injected);
COUNTER(trap_round);
COUNTER(on_last);

TRACED static void send(int sig)
{
	ENTER(send);
	syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), sig);
	KEEP(sig);
}

TRACED static void handler_work(unsigned n)
{
	ENTER(handler_work);
	for (unsigned i = 0; i < n; i++)
		seen = seen + 1;
}

TRACED static void on_inner(int sig)
{
	ENTER(on_inner);
	handler_work(3);
	KEEP(sig);
}

TRACED static void on_outer(int sig)
{
	ENTER(on_outer);
	handler_work(2);
	send(SIGUSR2);
	handler_work(2);
	KEEP(sig);
}

TRACED static void on_alternate(int sig)
{
	char here;

	ENTER(on_alternate);
	if (&here < alternate_stack || &here >= alternate_stack + sizeof alternate_stack)
		__builtin_trap();
	handler_work(5);
	KEEP(sig);
}

TRACED static void on_escape(int sig)
{
	ENTER(on_escape);
	handler_work(1);
	siglongjmp(out, sig);
}

TRACED static void nested_round(void)
{
	ENTER(nested_round);
	send(SIGUSR1);
	send(SIGHUP);
	handler_work(1);
	seen = seen + 1;
}

TRACED static void escape_from(unsigned depth)
{
	ENTER(escape_from);
	if (depth == 0)
		send(SIGTERM);
	else
		escape_from(depth - 1);
	KEEP(depth);
}

TRACED static void escape_round(void)
{
	ENTER(escape_round);
	if (sigsetjmp(out, 1) == 0)
		escape_from(6);
	handler_work(1);
	seen = seen + 1;
}

/* A handler inside of which the next signal's handler leaves both. */
TRACED static void on_chain(int sig)
{
	ENTER(on_chain);
	send(SIGTERM);
	KEEP(sig);
}

TRACED static void escape_chain(void)
{
	ENTER(escape_chain);
	if (sigsetjmp(out, 1) == 0)
		send(SIGALRM);
	marker();
	seen = seen + 1;
}

/* The handler that leaves runs on the alternate stack. */
TRACED static void escape_alternate(void)
{
	ENTER(escape_alternate);
	if (sigsetjmp(out, 1) == 0)
		send(SIGVTALRM);
	marker();
	seen = seen + 1;
}

/* Runs in the middle of trap_round, which knows nothing of it. */
__attribute__((no_caller_saved_registers)) TRACED static void injected(void)
{
	ENTER(injected);
	marker();
	seen = seen + 1;
}

enum { RED_ZONE = 128, TRAP_SIZE = 2 };

/* The interrupted code goes on in injected(), which returns behind the trap. */
TRACED static void on_trap(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	ENTER(on_trap);
	regs[REG_RSP] -= RED_ZONE + (greg_t)sizeof(uintptr_t);
	*(uintptr_t *)regs[REG_RSP] = (uintptr_t)regs[REG_RIP] + TRAP_SIZE;
	regs[REG_RIP] = (greg_t)injected;
}

TRACED static void trap_round(void)
{
	ENTER(trap_round);
	__asm__ volatile("ud2\n\tlea %c0(%%rsp), %%rsp" : : "i"(RED_ZONE) : "memory");
	handler_work(1);
	seen = seen + 1;
}

TRACED static void on_last(int sig)
{
	ENTER(on_last);
	marker();
	exit(sig - SIGQUIT);
}

static void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(sig, &action, NULL);
}

int main(void)
{
	stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof alternate_stack};

	if (sigaltstack(&stack, NULL) != 0)
		return 1;
	handle(SIGUSR1, on_outer, 0);
	handle(SIGUSR2, on_inner, 0);
	handle(SIGHUP, on_alternate, SA_ONSTACK);
	handle(SIGTERM, on_escape, 0);
	handle(SIGALRM, on_chain, 0);
	handle(SIGVTALRM, on_escape, SA_ONSTACK);
	handle(SIGQUIT, on_last, 0);
	sigaction(
	        SIGILL, &(struct sigaction){.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, NULL);
	for (int i = 0; i < 20; i++) {
		nested_round();
		escape_round();
		escape_chain();
		escape_alternate();
		trap_round();
	}
	marker();
	printf("result %lu\n", seen);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;escape_chain;marker", 20);
	PRINT_PATH("main;escape_alternate;marker", 20);
	PRINT_PATH("main;trap_round;injected;marker", 20);
	PRINT_PATH("main;send;syscall;on_last;marker", 1);
	PRINT_CALLS(nested_round);
	PRINT_CALLS(escape_round);
	PRINT_CALLS(escape_from);
	PRINT_CALLS(on_outer);
	PRINT_CALLS(on_inner);
	PRINT_CALLS(on_alternate);
	PRINT_CALLS(on_escape);
	PRINT_CALLS(handler_work);
	PRINT_CALLS(on_chain);
	PRINT_CALLS(escape_chain);
	PRINT_CALLS(escape_alternate);
	PRINT_CALLS(on_trap);
	PRINT_CALLS(injected);
	PRINT_CALLS(trap_round);
	printf("calls send %lu\n", calls_send + 1);
	printf("calls on_last 1\n");
	PRINT_THREADS(1);
	send(SIGQUIT);
	return 0;
}
