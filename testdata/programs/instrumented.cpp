// SPDX-License-Identifier: BSD-2-Clause
// Compiled with -finstrument-functions: the compiler's hooks at every entry and exit keep the depth
// of each thread's stack, in functions of this program, and count how often each function was
// entered at each depth. Threads call each other's hard things at random, recursively: callbacks
// from libc, signals, longjmp, exceptions with destructors. Prints
//
//     depth ADDRESS DEPTH N    the function at ADDRESS in the ELF file was entered N times with
//     DEPTH
//                              functions of this program on the stack, itself included
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdlib>

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_HOOKS __attribute__((no_instrument_function))

extern "C" {
#include "program.h"
}

namespace
{

enum { THREADS = 3, FUNCTIONS = 32, DEPTHS = 128, STEPS = 400, MOST_DEPTH = 12 };

// What one thread counts.
struct Depths {
	void *function[FUNCTIONS];
	unsigned long count[FUNCTIONS][DEPTHS];
	unsigned depth;
};

Depths threads[THREADS + 1]; // the last one is the main thread's
thread_local Depths *mine = &threads[THREADS];

struct Task {
	Depths *depths;
	unsigned random, steps;
	std::jmp_buf out;
};

thread_local Task *task;

NO_HOOKS unsigned next_random(Task *t, unsigned below)
{
	t->random = t->random * 1103515245u + 12345u;
	return (t->random >> 16) % below;
}

} // namespace

extern "C" {

extern const char __executable_start;

NO_HOOKS void __cyg_profile_func_enter(void *function, void *)
{
	unsigned i = 0;

	while (i < FUNCTIONS - 1 && mine->function[i] && mine->function[i] != function)
		i++;
	mine->function[i] = function;
	if (mine->depth < DEPTHS - 1)
		mine->depth++;
	mine->count[i][mine->depth]++;
}

NO_HOOKS void __cyg_profile_func_exit(void *, void *)
{
	mine->depth--;
}

void explore(unsigned depth);

TRACED static int in_order(const void *a, const void *b)
{
	int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);

	return (x > y) - (x < y);
}

TRACED static void sorts(unsigned)
{
	int numbers[8];

	for (int &number : numbers)
		number = static_cast<int>(next_random(task, 100));
	qsort(numbers, 8, sizeof(numbers[0]), in_order);
}

TRACED static void cleans(int *count)
{
	++*count;
}

TRACED static void throws(unsigned depth)
{
	struct Guard {
		int count = 0;
		NO_HOOKS Guard() = default;
		NO_HOOKS ~Guard()
		{
			cleans(&count);
		}
	} guard;

	if (depth == 0)
		throw 1;
	throws(depth - 1);
	KEEP(depth);
}

TRACED static void catches(unsigned depth)
{
	try {
		throws(next_random(task, 5));
	} catch (int) {
		explore(depth + 1);
	}
}

TRACED static void rethrows(unsigned depth)
{
	try {
		throws(next_random(task, 3));
	} catch (int) {
		if (depth % 2)
			throw;
	}
}

TRACED static void catches_again(unsigned depth)
{
	try {
		rethrows(depth);
	} catch (int) {
		explore(depth + 1);
	}
}

TRACED static void jumps(unsigned left)
{
	if (left == 0)
		std::longjmp(task->out, 1);
	jumps(left - 1);
	KEEP(left);
}

// The hooks do not see the frames that longjmp leaves.
TRACED static void lands(unsigned)
{
	volatile unsigned here = mine->depth;

	if (setjmp(task->out) == 0)
		jumps(next_random(task, 6));
	mine->depth = here;
	sorts(0);
}

TRACED __attribute__((force_align_arg_pointer)) static void on_signal(int)
{
	sorts(1);
}

TRACED static void raises(unsigned depth)
{
	syscall(SYS_tgkill, getpid(), static_cast<int>(syscall(SYS_gettid)), SIGUSR1);
	KEEP(depth);
}

TRACED void explore(unsigned depth)
{
	static void (*const things[])(unsigned) = {
	        sorts, catches, catches_again, lands, raises, explore, explore};

	if (depth > MOST_DEPTH || task->steps == 0)
		return;
	for (unsigned n = 1 + next_random(task, 3); n > 0; n--) {
		if (task->steps)
			task->steps--;
		things[next_random(task, sizeof(things) / sizeof(things[0]))](depth + 1);
	}
}

TRACED static void *run(void *arg)
{
	explore(0);
	return arg;
}

// Hooks need to know the thread before its first function is entered.
NO_HOOKS static void *start(void *arg)
{
	task = static_cast<Task *>(arg);
	mine = task->depths;
	while (task->steps)
		run(arg);
	return nullptr;
}

NO_HOOKS static void print_depths()
{
	for (const Depths &thread : threads)
		for (unsigned i = 0; i < FUNCTIONS && thread.function[i]; i++)
			for (unsigned depth = 0; depth < DEPTHS; depth++)
				if (thread.count[i][depth])
					printf("depth %#lx %u %lu\n",
					        static_cast<unsigned long>(
					                static_cast<const char *>(
					                        thread.function[i]) -
					                &__executable_start),
					        depth, thread.count[i][depth]);
}
}

NO_HOOKS int main()
{
	static Task tasks[THREADS];
	pthread_t ids[THREADS];

	signal(SIGUSR1, on_signal);
	for (unsigned i = 0; i < THREADS; i++) {
		tasks[i].depths = &threads[i];
		tasks[i].random = i + 1;
		tasks[i].steps = STEPS;
		if (pthread_create(&ids[i], nullptr, start, &tasks[i]))
			return 1;
	}
	for (pthread_t id : ids)
		pthread_join(id, nullptr);
	print_depths();
	PRINT_THREADS(1 + THREADS);
	return 0;
}
