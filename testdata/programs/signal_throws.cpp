// SPDX-License-Identifier: BSD-2-Clause
// A signal handler that throws: the exception passes the signal's frame and is caught in a function
// below the one that was interrupted. The handler aligns its stack: some simulators do not.
#include <csignal>

extern "C" {
#include "program.h"
}

COUNTER(on_fault);
COUNTER(faults);
COUNTER(passes);
COUNTER(catches);

extern "C" {

__attribute__((force_align_arg_pointer)) TRACED static void on_fault(int sig)
{
	ENTER(on_fault);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, nullptr);
	marker();
	throw sig;
}

TRACED static int faults(volatile int *p)
{
	ENTER(faults);
	return *p + 1;
}

TRACED static int passes(volatile int *p, int depth)
{
	ENTER(passes);
	int result = depth ? passes(p, depth - 1) : faults(p);
	KEEP(result);
	return result;
}

TRACED static int catches(volatile int *p)
{
	ENTER(catches);
	try {
		return passes(p, 2);
	} catch (int sig) {
		marker();
		return sig;
	}
}
}

int main()
{
	enum { ROUNDS = 10 };
	struct sigaction action = {};
	int sum = 0;

	action.sa_handler = on_fault;
	sigaction(SIGSEGV, &action, nullptr);
	for (int i = 0; i < ROUNDS; i++) {
		volatile int here = i;
		sum += catches(i % 2 ? nullptr : &here);
	}
	marker();
	printf("result %d\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;catches;marker", ROUNDS / 2);
	PRINT_PATH("main;catches;passes;passes;passes;faults;on_fault;marker", ROUNDS / 2);
	PRINT_CALLS(catches);
	PRINT_CALLS(passes);
	PRINT_CALLS(faults);
	PRINT_CALLS(on_fault);
	PRINT_THREADS(1);
	return 0;
}
