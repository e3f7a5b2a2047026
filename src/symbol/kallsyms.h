/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel symbols from the text of /proc/kallsyms: "ADDRESS TYPE name" on each line, with
 * "\t[module]" behind it for those of a module.
 *
 * Source: kernel/kallsyms.c (s_show); how far a symbol reaches: tools/perf/util/symbol.c
 * (symbols__fixup_end).
 */
#ifndef PTF_KALLSYMS_H
#define PTF_KALLSYMS_H

#include "base/arena.h"
#include "symbol/elf_symtab.h"

/* Appends the symbols at kernel addresses to the list, with names in `names`. Addresses that were
 * hidden from the reader (all of them 0) add nothing, nor do lines that are no symbol. false when
 * out of memory. */
bool ptf_kallsyms_read(
        struct ptf_elf_symtab *symtab, struct ptf_arena *names, const uint8_t *text, size_t size);

#endif
