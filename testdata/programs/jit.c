/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit [map | dump DIR]: code that is made while the program runs: small functions in anonymous
 * memory that count themselves and call back, one that is moved, and one place where function
 * after function stands. As JIT compilers do, it leaves their names in /tmp/perf-PID.map with
 * "map", and names and code in DIR/jit-PID.dump with "dump".
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { FIXED = 4, VERSIONS = 6, ROUNDS = 50, SLOT = 128, PAGE = 4096 };
enum { MOVED = FIXED, MOVED_TO, SHARED }; /* slots behind the fixed ones */
enum { CODE_LOAD, CODE_MOVE };            /* records of a jitdump */

typedef unsigned long jitted_fn(unsigned long x);

static unsigned char *code;
static FILE *map;
static int dump = -1;
static unsigned long calls_fixed[FIXED], calls_moved, calls_version[VERSIONS];

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

static unsigned char *put(unsigned char *at, const char *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static unsigned char *put_address(unsigned char *at, const void *address)
{
	memcpy(at, &address, sizeof address);
	return at + sizeof address;
}

/* A function that counts itself and calls back so many times; returns its size. */
static size_t emit(unsigned char *at, unsigned long *counter, int callbacks)
{
	jitted_fn *callee = called_back;
	unsigned char *start = at;
	void *target;

	memcpy(&target, &callee, sizeof target);
	at = put(at, "\x48\x83\xec\x08", 4); /* sub $8,%rsp */
	at = put(at, "\x48\xb8", 2);         /* mov $counter,%rax */
	at = put_address(at, counter);
	at = put(at, "\x48\xff\x00", 3); /* incq (%rax) */
	for (int i = 0; i < callbacks; i++) {
		at = put(at, "\x48\xb8", 2); /* mov $called_back,%rax */
		at = put_address(at, target);
		at = put(at, "\xff\xd0", 2);     /* call *%rax */
		at = put(at, "\x48\x89\xc7", 3); /* mov %rax,%rdi */
	}
	at = put(at, "\x48\x83\xc4\x08\xc3", 5); /* add $8,%rsp; ret */
	return (size_t)(at - start);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void write_all(const void *bytes, size_t size)
{
	if (write(dump, bytes, size) != (ssize_t)size)
		abort();
}

/* The page of the file that is mapped is how a recorder finds it. */
static void open_dump(const char *directory)
{
	struct {
		uint32_t magic, version, total_size, machine, pad, pid;
		uint64_t timestamp, flags;
	} header = {0x4a695444, 1, sizeof header, EM_X86_64, 0, (uint32_t)getpid(), now(), 0};
	char name[4096];

	snprintf(name, sizeof name, "%s/jit-%d.dump", directory, (int)getpid());
	dump = open(name, O_CREAT | O_TRUNC | O_RDWR, 0666);
	if (dump < 0 || mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, dump, 0) == MAP_FAILED)
		abort();
	write_all(&header, sizeof header);
}

static void announce(unsigned char *at, size_t size, const char *name)
{
	static uint64_t index;
	struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, code_addr, code_size, code_index;
	} load = {CODE_LOAD, (uint32_t)(sizeof load + strlen(name) + 1 + size), now(),
	        (uint32_t)getpid(), (uint32_t)getpid(), (uintptr_t)at, (uintptr_t)at, size,
	        index++};

	if (map)
		fprintf(map, "%lx %zx %s\n", (unsigned long)at, size, name);
	if (dump < 0)
		return;
	write_all(&load, sizeof load);
	write_all(name, strlen(name) + 1);
	write_all(at, size);
}

static void move(unsigned char *from, unsigned char *to, size_t size)
{
	struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, old_code_addr, new_code_addr, code_size, code_index;
	} record = {CODE_MOVE, sizeof record, 0, (uint32_t)getpid(), (uint32_t)getpid(),
	        (uintptr_t)to, (uintptr_t)from, (uintptr_t)to, size, FIXED};

	memcpy(to, from, size);
	memset(from, 0xcc, size);
	record.timestamp = now();
	if (dump >= 0)
		write_all(&record, sizeof record);
}

static unsigned long call(int slot, unsigned long x)
{
	return ((jitted_fn *)(code + slot * SLOT))(x);
}

static unsigned long run_fixed(unsigned long sum)
{
	char name[32];

	for (int i = 0; i < FIXED; i++) {
		snprintf(name, sizeof name, "jitted_%d", i);
		announce(code + i * SLOT, emit(code + i * SLOT, &calls_fixed[i], 1), name);
	}
	for (unsigned long i = 0; i < ROUNDS; i++) {
		sum = before_jit(sum);
		sum += call((int)(i % FIXED), i);
		sum = after_jit(sum);
	}
	return sum;
}

static unsigned long run_moved(unsigned long sum)
{
	size_t size = emit(code + MOVED * SLOT, &calls_moved, 1);

	announce(code + MOVED * SLOT, size, "moved");
	sum += call(MOVED, sum);
	move(code + MOVED * SLOT, code + MOVED_TO * SLOT, size);
	return sum + call(MOVED_TO, sum) + call(MOVED_TO, 1);
}

/* Each version calls back another number of times: bytes of the wrong one would not fit. */
static unsigned long run_versions(unsigned long sum)
{
	unsigned char *at = code + SHARED * SLOT;
	char name[32];

	for (int version = 0; version < VERSIONS; version++) {
		snprintf(name, sizeof name, "version_%d", version);
		announce(at, emit(at, &calls_version[version], version % 4), name);
		for (int i = 0; i <= version; i++)
			sum += call(SHARED, sum);
	}
	return sum;
}

int main(int argc, char **argv)
{
	unsigned long sum;
	char name[64];

	code = mmap(
	        NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return 1;
	snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
	if (argc > 1 && strcmp(argv[1], "map") == 0)
		map = fopen(name, "w");
	if (argc > 2 && strcmp(argv[1], "dump") == 0)
		open_dump(argv[2]);
	sum = run_versions(run_moved(run_fixed(0)));
	if (map)
		fclose(map);
	printf("result %lu\n", sum);
	PRINT_CALLS(before_jit);
	PRINT_CALLS(called_back);
	PRINT_CALLS(after_jit);
	for (int i = 0; i < FIXED; i++)
		printf("calls jitted_%d %lu\n", i, calls_fixed[i]);
	printf("calls moved %lu\n", calls_moved);
	for (int i = 0; i < VERSIONS; i++)
		printf("calls version_%d %lu\n", i, calls_version[i]);
	PRINT_THREADS(1);
	return 0;
}
