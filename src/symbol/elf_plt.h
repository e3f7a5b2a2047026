/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stubs of the procedure linkage table, named after what they jump to: "qsort@plt".
 *
 * A stub is known by its indirect jump through a GOT slot that a relocation fills, so that lazy
 * binding or not, IBT or not, and the linker make no difference. Source: System V ABI, x86-64 and
 * i386 supplements, "Procedure Linkage Table".
 */
#ifndef PTF_ELF_PLT_H
#define PTF_ELF_PLT_H

#include "symbol/elf_ranges.h"

/* Appends the stubs of all PLT sections to `stubs`, and the whole section .plt, named so, to
 * `rest`. known: symbols, to name stubs of IFUNCs in static programs by their resolvers. What is
 * damaged is left out; false when out of memory. */
bool ptf_elf_plt_read(struct ptf_elf_pieces *stubs, struct ptf_elf_pieces *rest,
        const struct ptf_elf_file *file, const struct ptf_elf_ranges *known);

#endif
