/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the ranges of ELF files for check_elf_symbols.py, one a line, tabs between:
 * start end kind function-start raw-name demangled-name; a line "FILE path debug-path" before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "symbol/demangle.h"
#include "symbol/elf_symbols.h"

static const char *kind_name(enum ptf_function_kind kind)
{
	return kind == PTF_FUNCTION_SYMBOL ? "symbol" : kind == PTF_FUNCTION_PLT ? "plt" : "fde";
}

static void print_symbols(const struct ptf_elf_symbols *symbols)
{
	for (size_t i = 0; i < symbols->n_ranges; i++) {
		const struct ptf_elf_range *range = &symbols->ranges[i];
		const struct ptf_elf_function *f = &symbols->functions[range->function];
		char *demangled = f->name ? ptf_demangle(f->name) : NULL;
		const char *raw = f->name ? f->name : "-";

		printf("%" PRIx64 "\t%" PRIx64 "\t%s\t%" PRIx64 "\t%s\t%s\n", range->start,
		        range->end, kind_name(f->kind), f->start, raw, demangled ? demangled : raw);
		free(demangled);
	}
}

static int dump(const char *path, const char *symfs)
{
	struct ptf_file_map map = {0};
	struct ptf_elf_file file = {0};
	struct ptf_elf_symbols *symbols = NULL;
	struct ptf_elf_debug_search search = {.path = path, .symfs = symfs};
	struct ptf_error err = {0};
	int rc = ptf_file_map_init(&map, path, &err);

	if (rc == 0)
		rc = ptf_elf_file_init(&file, map.bytes, map.size, &err);
	if (rc == 0)
		rc = ptf_elf_symbols_create(&symbols, &file, &search, &err);
	if (rc == 0) {
		printf("FILE\t%s\t%s\n", path, symbols->debug_path ? symbols->debug_path : "-");
		print_symbols(symbols);
	} else {
		fprintf(stderr, "%s: %s\n", path, err.msg);
	}
	ptf_elf_symbols_destroy(symbols);
	ptf_elf_file_release(&file);
	ptf_file_map_release(&map);
	return rc;
}

/* dump_elf_symbols [--symfs=DIR] FILE... */
int main(int argc, char **argv)
{
	const char *symfs = NULL;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--symfs=", 8) == 0)
			symfs = argv[i] + 8;
		else
			failed |= dump(argv[i], symfs) < 0;
	}
	return failed;
}
