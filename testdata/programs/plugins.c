/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a library, calls into it and unloads it, ten times: code comes and goes. */
#include <dlfcn.h>

#include "program.h"

COUNTER(with_plugin);

TRACED static int with_plugin(int n)
{
	void *library = dlopen("libtiny_plugin.so", RTLD_LAZY);
	int (*run)(int), result;

	ENTER(with_plugin);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	run = (int (*)(int))dlsym(library, "tiny_plugin_run");
	result = run ? run(n) : -1;
	dlclose(library);
	return result;
}

int main(void)
{
	enum { ROUNDS = 10 };
	int sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int value = with_plugin(i);
		if (value < 0)
			return 1;
		sum += value;
	}
	printf("result %d\n", sum);
	PRINT_CALLS(with_plugin);
	/* The library makes three calls to its helper for each to its entry. */
	printf("calls tiny_plugin_run %d\n", ROUNDS);
	printf("calls tiny_plugin_helper %d\n", 3 * ROUNDS);
	PRINT_THREADS(1);
	return 0;
}
