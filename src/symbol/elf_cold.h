/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cold parts of functions without symbols: to which function they belong.
 */
#ifndef PTF_ELF_COLD_H
#define PTF_ELF_COLD_H

#include "symbol/elf_ranges.h"

/* Gives the ranges of ranges->parts to the functions that jump there most often; a part that
 * nobody jumps to stays a function. false when out of memory. */
bool ptf_elf_cold_join(struct ptf_elf_ranges *ranges, const struct ptf_elf_file *file);

#endif
