/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of one ELF file, as a sorted array of ranges.
 *
 * In this order, each filling only what the ones before left open:
 *   symbols      .symtab, else that of a debug file (build-id, .gnu_debuglink), else .dynsym with
 *                .gnu_debugdata; of several names for an address the one that perf prefers
 *   PLT stubs    "name@plt"; what is left of .plt is ".plt"
 *   FDEs         a range of .eh_frame is a function without a name
 * The cold part of a function (foo.cold, foo.cold.1) is a range of foo; without symbols it is found
 * by its frame and the jumps that lead to it. A symbol without a size
 * reaches up to the next one or the end of its section. Where symbols overlap, the one that starts
 * last wins.
 */
#ifndef PTF_ELF_SYMBOLS_H
#define PTF_ELF_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "symbol/elf_file.h"
#include "symbol/function_table.h"

struct ptf_elf_function {
	uint64_t start;              /* ELF virtual address of the entry */
	uint64_t size;               /* bytes of the symbol or FDE; cold parts not counted */
	const char *name;            /* as in the symbol table; NULL for an FDE */
	enum ptf_function_kind kind; /* SYMBOL, PLT or FDE */
};

struct ptf_elf_range {
	uint64_t start, end; /* ELF virtual addresses, end exclusive */
	uint32_t function;   /* index into functions */
};

struct ptf_elf_symbols {
	const struct ptf_elf_range *ranges; /* sorted, not overlapping, not empty */
	size_t n_ranges;
	const struct ptf_elf_function *functions;
	size_t n_functions;
	const char *debug_path; /* the debug file that names come from, or NULL */
};

/* Where debug files are looked for. */
struct ptf_elf_debug_search {
	const char *path;  /* of the file itself, for .gnu_debuglink; NULL: it has none */
	const char *symfs; /* prefix of /usr/lib/debug that is tried first, or NULL */
};

/* Reads them; file must outlive the result. What is broken in the file is left out. search may be
 * NULL: no debug files. Errors: PTF_ENOMEM. */
int ptf_elf_symbols_create(struct ptf_elf_symbols **symbols, const struct ptf_elf_file *file,
        const struct ptf_elf_debug_search *search, struct ptf_error *err);
/* The same from the text of /proc/kallsyms, by the addresses of the running kernel; text need not
 * outlive the result. Errors: PTF_ENOMEM. */
int ptf_elf_symbols_from_kallsyms(
        struct ptf_elf_symbols **symbols, const uint8_t *text, size_t size, struct ptf_error *err);
void ptf_elf_symbols_destroy(struct ptf_elf_symbols *symbols);

/* The range that has the address, or NULL. */
const struct ptf_elf_range *ptf_elf_symbols_find(
        const struct ptf_elf_symbols *symbols, uint64_t vaddr);

#endif
