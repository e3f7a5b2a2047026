/* SPDX-License-Identifier: BSD-2-Clause */
/* manythreads [N]: N (300) short-lived threads, at most four alive at once. */
#include <pthread.h>
#include <stdlib.h>

#include "program.h"

#define ALIVE 4

COUNTER(short_life);
COUNTER(step);

TRACED static unsigned long step(unsigned long x)
{
	ENTER(step);
	return x * 6364136223846793005ul + 1442695040888963407ul;
}

TRACED static void *short_life(void *arg)
{
	unsigned long x = (unsigned long)arg;

	ENTER(short_life);
	for (unsigned long i = 0; i < 5 + (unsigned long)arg % 3; i++)
		x = step(x);
	return (void *)x;
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 0) : 300, sum = 0;
	pthread_t threads[ALIVE];
	void *value;

	for (unsigned long i = 0; i < n + ALIVE; i++) {
		if (i >= ALIVE) {
			pthread_join(threads[i % ALIVE], &value);
			sum += (unsigned long)value;
		}
		if (i < n && pthread_create(&threads[i % ALIVE], NULL, short_life, (void *)i))
			return 1;
	}
	printf("result %lu\n", sum);
	PRINT_CALLS(short_life);
	PRINT_CALLS(step);
	PRINT_THREADS(n + 1);
	return 0;
}
