/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function symbols of ELF symbol tables, chosen as perf chooses them (tools/perf/util/symbol.c).
 */
#ifndef PTF_ELF_SYMTAB_H
#define PTF_ELF_SYMTAB_H

#include "symbol/elf_ranges.h"

struct ptf_elf_symbol {
	uint64_t start, end; /* ELF virtual addresses; equal: size not known */
	uint64_t limit;      /* end of the section */
	const char *name;    /* borrowed from the file */
	uint32_t order;      /* place in the symbol tables */
	uint32_t unit;       /* number of the STT_FILE symbol before it */
	uint8_t bind, type;  /* STB_*, STT_* */
};

struct ptf_elf_symtab {
	PTF_VEC(struct ptf_elf_symbol) list;
	uint32_t units; /* STT_FILE symbols seen */
};

/* Appends the symbols of code of a table (SHT_SYMTAB or SHT_DYNSYM). file must outlive the list.
 * false when out of memory; a table that is absent or broken adds nothing. */
bool ptf_elf_symtab_read(
        struct ptf_elf_symtab *symtab, const struct ptf_elf_file *file, uint32_t section_type);
void ptf_elf_symtab_release(struct ptf_elf_symtab *symtab);

/* Makes functions and ranges of all symbols read, in empty `ranges`; the list is used up (sorted,
 * thinned out). false when out of memory. */
bool ptf_elf_symtab_ranges(struct ptf_elf_symtab *symtab, struct ptf_elf_ranges *ranges);

#endif
