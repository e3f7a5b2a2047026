/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that comes and goes: loads a library, calls into it and unloads it, ten times, by turns of
 * two; then maps the files of both by turns at one address and calls their entries there.
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"

enum { ROUNDS = 10, MAPPED = 0x4000 };

typedef int plugin_fn(int n, void (*mark)(void));

static const struct {
	const char *library, *entry;
} plugins[] = {
        {"libtiny_plugin.so", "tiny_plugin_run"},
        {"libother_plugin.so", "other_plugin_run"},
};
static char files[2][512];

COUNTER(with_plugin);
COUNTER(with_mapping);

TRACED static int with_plugin(int n)
{
	void *library = dlopen(plugins[n % 2].library, RTLD_LAZY);
	plugin_fn *run;
	Dl_info info;
	int result;

	ENTER(with_plugin);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		abort();
	}
	run = (plugin_fn *)dlsym(library, plugins[n % 2].entry);
	if (!run || !dladdr((void *)run, &info))
		abort();
	snprintf(files[n % 2], sizeof files[0], "%s", info.dli_fname);
	result = run(n, marker);
	dlclose(library);
	return result;
}

/* The linker gave the library its function as the entry; nothing in it needs relocation. */
TRACED static int with_mapping(int n, void *address)
{
	int fd = open(files[n % 2], O_RDONLY), result;
	plugin_fn *run;

	ENTER(with_mapping);
	if (fd < 0 || mmap(address, MAPPED, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
	                      0) != address)
		abort();
	close(fd);
	run = (plugin_fn *)((char *)address + ((Elf64_Ehdr *)address)->e_entry);
	result = run(n, marker);
	munmap(address, MAPPED);
	return result;
}

int main(void)
{
	void *address;
	int sum = 0;

	for (int i = 0; i < ROUNDS; i++)
		sum += with_plugin(i);
	address = mmap(NULL, MAPPED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (address == MAP_FAILED)
		return 1;
	for (int i = 0; i < ROUNDS; i++)
		sum += with_mapping(i, address);
	marker();
	printf("result %d\n", sum);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;with_plugin;tiny_plugin_run;marker", ROUNDS / 2);
	PRINT_PATH("main;with_plugin;other_plugin_last;marker", ROUNDS / 2);
	PRINT_PATH("main;with_mapping;tiny_plugin_run;marker", ROUNDS / 2);
	PRINT_PATH("main;with_mapping;other_plugin_last;marker", ROUNDS / 2);
	PRINT_CALLS(with_plugin);
	PRINT_CALLS(with_mapping);
	/* Each of the two ways calls each library in half of the rounds. */
	printf("calls tiny_plugin_run %d\n", ROUNDS);
	printf("calls tiny_plugin_helper %d\n", 3 * ROUNDS);
	printf("calls other_plugin_run %d\n", ROUNDS);
	printf("calls other_plugin_last %d\n", ROUNDS);
	PRINT_THREADS(1);
	return 0;
}
