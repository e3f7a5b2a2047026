/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * REP string instructions of every kind and of many lengths, 0 included: one instruction each,
 * however often it repeats; and loop, jrcxz.
 */
#include <stddef.h>
#include <string.h>

#include "program.h"

static char from[9000], to[9000];

COUNTER(rep_movs);
COUNTER(rep_stos);
COUNTER(rep_cmps);
COUNTER(rep_scas);
COUNTER(count_down);

TRACED static void rep_movs(char *d, const char *s, size_t n)
{
	ENTER(rep_movs);
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

TRACED static void rep_stos(char *d, long value, size_t n)
{
	ENTER(rep_stos);
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
}

/* Bytes compared until the first difference. */
TRACED static size_t rep_cmps(const char *a, const char *b, size_t n)
{
	const char *start = a;

	ENTER(rep_cmps);
	__asm__ volatile("cmp %%rax, %%rax\n\trepe cmpsb"
	                 : "+D"(a), "+S"(b), "+c"(n)
	                 :
	                 : "memory", "cc");
	return (size_t)(a - start);
}

/* Bytes scanned until the first that is `value`. */
TRACED static size_t rep_scas(const char *s, char value, size_t n)
{
	const char *start = s;

	ENTER(rep_scas);
	__asm__ volatile("test %%rsp, %%rsp\n\trepne scasb"
	                 : "+D"(s), "+c"(n)
	                 : "a"(value)
	                 : "memory", "cc");
	return (size_t)(s - start);
}

/* jrcxz over the loop when n is 0, else `loop` n times. */
TRACED static size_t count_down(size_t n)
{
	size_t rounds = 0;

	ENTER(count_down);
	__asm__ volatile("jrcxz 2f\n"
	                 "1:\tinc %0\n\t"
	                 "loop 1b\n"
	                 "2:"
	                 : "+r"(rounds), "+c"(n)
	                 :
	                 : "cc");
	return rounds;
}

int main(void)
{
	static const size_t lengths[] = {0, 1, 2, 3, 7, 8, 15, 16, 63, 64, 255, 1000, 4096, 8192};
	size_t sum = 0;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		size_t n = lengths[i];
		rep_stos(from, (long)(i + 1), n);
		rep_movs(to, from, n);
		if (n > 2)
			to[n / 2] = 99;
		sum += rep_cmps(from, to, n) + rep_scas(to, 99, n) + count_down(n);
		if (memcmp(from, to, n) == 0)
			sum++;
	}
	printf("result %zu\n", sum);
	PRINT_CALLS(rep_stos);
	PRINT_CALLS(rep_movs);
	PRINT_CALLS(rep_cmps);
	PRINT_CALLS(rep_scas);
	PRINT_CALLS(count_down);
	PRINT_THREADS(1);
	return 0;
}
