/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer: any bytes as an ELF file. Seeds: small programs, stripped and not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/demangle.h"
#include "symbol/elf_symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ptf_elf_symbols *symbols)
{
	uint64_t end = 0;

	for (size_t i = 0; i < symbols->n_ranges; i++) {
		const struct ptf_elf_range *range = &symbols->ranges[i];
		const struct ptf_elf_function *f;

		if (range->start < end || range->start >= range->end ||
		        range->function >= symbols->n_functions ||
		        ptf_elf_symbols_find(symbols, range->end - 1) != range)
			abort();
		end = range->end;
		f = &symbols->functions[range->function];
		if (f->name)
			free(ptf_demangle(f->name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size ? size : 1); /* aligned, and with an end that is seen */
	struct ptf_elf_file file;
	struct ptf_elf_symbols *symbols;

	memcpy(bytes, data, size);
	if (ptf_elf_file_init(&file, bytes, size, NULL) == 0) {
		if (ptf_elf_symbols_create(&symbols, &file, NULL, NULL) == 0) {
			check(symbols);
			ptf_elf_symbols_destroy(symbols);
		}
		ptf_elf_file_release(&file);
	}
	free(bytes);
	return 0;
}
