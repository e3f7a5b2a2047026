/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that name themselves (one by prctl), are named by another, change their name, or keep the
 * program's.
 */
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "program.h"

static pthread_barrier_t named;

COUNTER(names_itself);
COUNTER(named_by_prctl);
COUNTER(renamed);
COUNTER(named_by_main);
COUNTER(nameless);
COUNTER(spin);

TRACED static unsigned spin(unsigned n)
{
	unsigned sum = 0;

	ENTER(spin);
	for (unsigned i = 0; i < n; i++) {
		sum += i;
		KEEP(sum);
	}
	return sum;
}

TRACED static void *names_itself(void *arg)
{
	ENTER(names_itself);
	pthread_setname_np(pthread_self(), "worker-self");
	spin(3000);
	return arg;
}

TRACED static void *named_by_prctl(void *arg)
{
	ENTER(named_by_prctl);
	prctl(PR_SET_NAME, "worker;prctl", 0, 0, 0);
	spin(3000);
	return arg;
}

TRACED static void *renamed(void *arg)
{
	ENTER(renamed);
	pthread_setname_np(pthread_self(), "first name");
	spin(1000);
	pthread_setname_np(pthread_self(), "last name");
	spin(1000);
	return arg;
}

TRACED static void *named_by_main(void *arg)
{
	ENTER(named_by_main);
	pthread_barrier_wait(&named);
	spin(2000);
	return arg;
}

TRACED static void *nameless(void *arg)
{
	ENTER(nameless);
	spin(2000);
	return arg;
}

int main(void)
{
	void *(*const bodies[])(void *) = {
	        names_itself, named_by_prctl, renamed, named_by_main, nameless};
	enum { N = sizeof bodies / sizeof *bodies };
	pthread_t threads[N];

	pthread_barrier_init(&named, NULL, 2);
	for (int i = 0; i < N; i++)
		if (pthread_create(&threads[i], NULL, bodies[i], NULL))
			return 1;
	pthread_setname_np(threads[3], "worker-by-main");
	pthread_barrier_wait(&named);
	for (int i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	PRINT_CALLS(names_itself);
	PRINT_CALLS(named_by_prctl);
	PRINT_CALLS(renamed);
	PRINT_CALLS(named_by_main);
	PRINT_CALLS(nameless);
	PRINT_CALLS(spin);
	PRINT_THREADS(N + 1);
	PRINT_THREAD("worker-self", 1);
	PRINT_THREAD("worker;prctl", 1);
	PRINT_THREAD("last name", 1);
	PRINT_THREAD("worker-by-main", 1);
	return 0;
}
