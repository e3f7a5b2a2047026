/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges of the FDEs in .eh_frame: one for each function, there even in stripped files.
 *
 * Source: LSB Core, "Exception Frames"; libdw splits the section into its entries.
 */
#ifndef PTF_ELF_FDE_H
#define PTF_ELF_FDE_H

#include "symbol/elf_ranges.h"

/* Appends a piece without a name for every FDE of the file; it is marked as a part when its frame
 * is set up already where it begins, as in what compilers split off functions (.text.unlikely).
 * Without a section .eh_frame it is found by PT_GNU_EH_FRAME. What is damaged is left out; false
 * when out of memory. */
bool ptf_elf_fde_read(struct ptf_elf_pieces *pieces, const struct ptf_elf_file *file);

#endif
