/* SPDX-License-Identifier: BSD-2-Clause */
/* handover [N]: two threads hand a token to each other N (200) times, by mutex and condition. */
#include <pthread.h>
#include <stdlib.h>

#include "program.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static unsigned long rounds = 200, work_done;

COUNTER(take_turn);
COUNTER(work_on);
COUNTER(player);

TRACED static void work_on(unsigned long n)
{
	ENTER(work_on);
	for (unsigned long i = 0; i < 20 + n % 7; i++)
		__atomic_add_fetch(&work_done, i, __ATOMIC_RELAXED);
}

TRACED static void take_turn(int me, unsigned long n)
{
	ENTER(take_turn);
	pthread_mutex_lock(&lock);
	while (turn != me)
		pthread_cond_wait(&turned, &lock);
	work_on(n);
	turn = !me;
	pthread_cond_signal(&turned);
	pthread_mutex_unlock(&lock);
}

TRACED static void *player(void *arg)
{
	int me = *(int *)arg;

	ENTER(player);
	for (unsigned long i = 0; i < rounds; i++)
		take_turn(me, i);
	return NULL;
}

int main(int argc, char **argv)
{
	int ids[2] = {0, 1};
	pthread_t threads[2];

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, player, &ids[i]))
			return 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("result %lu\n", work_done);
	PRINT_CALLS(player);
	PRINT_CALLS(take_turn);
	PRINT_CALLS(work_on);
	PRINT_THREADS(3);
	return 0;
}
