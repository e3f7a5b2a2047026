/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/kv_alloc.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void kv_out_of_memory(void)
{
	fputs("out of memory\n", stderr);
	abort();
}

void *kv_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		kv_out_of_memory();
	return p;
}

void *kv_realloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (!p)
		kv_out_of_memory();
	return p;
}
