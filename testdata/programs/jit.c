/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit [map]: code that is made while the program runs: small functions in anonymous memory, called,
 * called back from, and overwritten. With "map" it leaves their names in /tmp/perf-PID.map, as JIT
 * compilers do.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"

enum { FUNCTIONS = 4, SLOT = 64, ROUNDS = 50 };

typedef unsigned long jitted_fn(unsigned long x);

static unsigned char *code;

COUNTER(before_jit);
COUNTER(called_back);
COUNTER(after_jit);

TRACED static unsigned long before_jit(unsigned long x)
{
	ENTER(before_jit);
	return x + 1;
}

TRACED static unsigned long called_back(unsigned long x)
{
	ENTER(called_back);
	return x * 3;
}

TRACED static unsigned long after_jit(unsigned long x)
{
	ENTER(after_jit);
	return x ^ 1;
}

/* sub $8,%rsp; mov $called_back,%rax; call *%rax; add $K,%rax; add $8,%rsp; ret */
static void emit(int slot, unsigned char addend)
{
	unsigned char body[] = {0x48, 0x83, 0xec, 8, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0,
	        0x48, 0x83, 0xc0, addend, 0x48, 0x83, 0xc4, 8, 0xc3};
	jitted_fn *callee = called_back;

	memcpy(body + 6, &callee, sizeof callee);
	memcpy(code + slot * SLOT, body, sizeof body);
}

static void write_map(void)
{
	char name[64];
	FILE *map;

	snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
	map = fopen(name, "w");
	if (!map)
		return;
	for (int i = 0; i < FUNCTIONS; i++)
		fprintf(map, "%lx %x jitted_%d\n", (unsigned long)(code + i * SLOT), SLOT, i);
	fclose(map);
}

int main(int argc, char **argv)
{
	unsigned long sum = 0;

	code = mmap(
	        NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return 1;
	for (int i = 0; i < FUNCTIONS; i++)
		emit(i, (unsigned char)i);
	if (argc > 1 && strcmp(argv[1], "map") == 0)
		write_map();
	for (unsigned long i = 0; i < ROUNDS; i++) {
		sum = before_jit(sum);
		sum += ((jitted_fn *)(code + i % FUNCTIONS * SLOT))(i);
		sum = after_jit(sum);
		emit(0, (unsigned char)i);
	}
	printf("result %lu\n", sum);
	PRINT_CALLS(before_jit);
	PRINT_CALLS(called_back);
	PRINT_CALLS(after_jit);
	PRINT_THREADS(1);
	return 0;
}
