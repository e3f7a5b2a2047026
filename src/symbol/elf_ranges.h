/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Builds the ranges of struct ptf_elf_symbols: pieces of code go where nothing is yet.
 */
#ifndef PTF_ELF_RANGES_H
#define PTF_ELF_RANGES_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/vec.h"
#include "symbol/elf_symbols.h"

struct ptf_elf_piece {
	uint64_t start, end; /* ELF virtual addresses, end exclusive */
	const char *name;    /* borrowed, NULL: none */
	bool part;           /* begins in mid-function: nobody calls it */
};

struct ptf_elf_pieces {
	PTF_VEC(struct ptf_elf_piece) list;
	struct ptf_arena names; /* for names that had to be made */
};

void ptf_elf_pieces_release(struct ptf_elf_pieces *pieces);

struct ptf_elf_ranges {
	PTF_VEC(struct ptf_elf_range) list;
	PTF_VEC(struct ptf_elf_function) functions;
	PTF_VEC(uint32_t) parts; /* functions made of pieces that are a part of another one */
};

void ptf_elf_ranges_release(struct ptf_elf_ranges *ranges);

/* The index of a new function, UINT32_MAX when out of memory. */
uint32_t ptf_elf_ranges_function(struct ptf_elf_ranges *ranges, const struct ptf_elf_function *f);

/* The last range that starts at or before vaddr, or NULL. */
const struct ptf_elf_range *ptf_elf_range_before(
        const struct ptf_elf_range *ranges, size_t n, uint64_t vaddr);

/*
 * Puts the pieces, which get sorted, where the ranges have gaps. A piece whose beginning is
 * covered by a function that begins there too only makes that function longer; one that is cut
 * off from its beginning otherwise is a function that begins with the first gap. false when out
 * of memory.
 */
bool ptf_elf_ranges_fill(
        struct ptf_elf_ranges *ranges, struct ptf_elf_pieces *pieces, enum ptf_function_kind kind);

#endif
