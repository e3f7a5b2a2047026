/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the test programs share: functions that the compiler leaves alone, and counters of how often
 * each was entered. A program ends with lines of its own truth, which the tests compare with what
 * the trace says:
 *
 *     calls NAME N     the function was entered N times, by call, jump or signal
 *     threads N        threads that ran, the main thread and those of child processes included
 *     thread NAME N    of those, N ended under this name (only names that the program gave itself)
 *     time NAME NS     wall-clock nanoseconds that the function took, all calls together
 *     path F;G;marker N   marker was entered N times under exactly these frames, main or a thread's
 *                      first function outermost; all paths on which it was entered are told
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdio.h>

/* Neither inlined, cloned, renamed nor reordered: one symbol, one entry per call. */
#define TRACED __attribute__((noipa))

/* The counter of function f; stands at file scope, before the function. */
#define COUNTER(f) static unsigned long calls_##f

/* The first statement of f. Atomic, because threads and signal handlers count as well. */
#define ENTER(f) ((void)__atomic_add_fetch(&calls_##f, 1, __ATOMIC_RELAXED))

#define PRINT_CALLS(f) printf("calls %s %lu\n", #f, __atomic_load_n(&calls_##f, __ATOMIC_RELAXED))
#define PRINT_THREADS(n) printf("threads %d\n", (int)(n))
#define PRINT_THREAD(name, n) printf("thread %s %d\n", (name), (int)(n))

/* Keeps the call before it from becoming a tail call, and values from being thrown away. */
#define KEEP(x) __asm__ volatile("" : "+r"(x) : : "memory")

#define PRINT_PATH(path, n) printf("path %s %lu\n", (path), (unsigned long)(n))

/* Called where the depth of the stack is known again after something hard. */
TRACED __attribute__((unused)) static void marker(void)
{
	__asm__ volatile("");
}

#endif
