/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as text of perf script: what comes out keeps the promises of perf_script_reader.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pt/perf_script_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool promise)
{
	if (!promise)
		abort();
}

static void check_item(const struct ptf_perf_script_item *item)
{
	check(item->comm != NULL);
	check(item->tid >= -1 && item->pid >= -1 && item->cpu >= -1);
	check((item->item.from == PTF_NO_IP) == (item->item.from_function == NULL));
	check((item->item.to == PTF_NO_IP) == (item->item.to_function == NULL));
	check(item->item.kind != PTF_FLOW_THREAD);
	check(item->item.kind != PTF_FLOW_JUMP ||
	        item->item.from_function != item->item.to_function);
}

static void read_all(const char *path)
{
	struct ptf_function_table *functions = ptf_function_table_create();
	const struct ptf_perf_script_counts *n;
	struct ptf_perf_script_reader *reader;
	struct ptf_perf_script_item item;

	check(ptf_perf_script_reader_probe(path, NULL) >= 0);
	check(ptf_perf_script_reader_create(&reader, path, functions, NULL) == 0);
	while (ptf_perf_script_reader_next(reader, &item, NULL) == 0)
		check_item(&item);
	n = ptf_perf_script_reader_counts(reader);
	check(n->lines ==
	        n->branches + n->incomplete + n->events + n->errors + n->blank + n->unreadable);
	check(n->first_ns <= n->last_ns);
	ptf_perf_script_reader_destroy(reader);
	ptf_function_table_destroy(functions);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static int fd = -1;
	char path[64];

	if (fd < 0)
		fd = memfd_create("text", 0);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_all(path);
	return 0;
}
