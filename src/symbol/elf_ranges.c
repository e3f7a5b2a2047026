/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_ranges.h"

#include <stdlib.h>

#define NO_FUNCTION UINT32_MAX

void ptf_elf_pieces_release(struct ptf_elf_pieces *pieces)
{
	ptf_vec_release(&pieces->list);
	ptf_arena_release(&pieces->names);
}

void ptf_elf_ranges_release(struct ptf_elf_ranges *ranges)
{
	ptf_vec_release(&ranges->list);
	ptf_vec_release(&ranges->functions);
	ptf_vec_release(&ranges->parts);
}

uint32_t ptf_elf_ranges_function(struct ptf_elf_ranges *ranges, const struct ptf_elf_function *f)
{
	if (ranges->functions.n >= NO_FUNCTION || !ptf_vec_push(&ranges->functions, *f))
		return NO_FUNCTION;
	return (uint32_t)(ranges->functions.n - 1);
}

const struct ptf_elf_range *ptf_elf_range_before(
        const struct ptf_elf_range *ranges, size_t n, uint64_t vaddr)
{
	const struct ptf_elf_range *base = ranges;

	if (n == 0 || ranges[0].start > vaddr)
		return NULL;
	while (n > 1) {
		size_t half = n / 2;

		base = base[half].start <= vaddr ? base + half : base;
		n -= half;
	}
	return base;
}

static int by_piece(const void *a, const void *b)
{
	const struct ptf_elf_piece *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

static int by_range(const void *a, const void *b)
{
	const struct ptf_elf_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* The function that covers the piece's beginning, if that is its own beginning. */
static uint32_t function_there(const struct ptf_elf_ranges *ranges, size_t n, uint64_t vaddr)
{
	const struct ptf_elf_range *range = ptf_elf_range_before(ranges->list.v, n, vaddr);

	if (!range || vaddr >= range->end || ranges->functions.v[range->function].start != vaddr)
		return NO_FUNCTION;
	return range->function;
}

/* Adds [start, end) of a piece; *function is the piece's function, made when there is none. */
static bool add_gap(struct ptf_elf_ranges *ranges, const struct ptf_elf_piece *piece,
        uint64_t start, uint64_t end, enum ptf_function_kind kind, uint32_t *function)
{
	struct ptf_elf_function f = {
	        .start = start, .size = piece->end - start, .name = piece->name, .kind = kind};

	if (*function == NO_FUNCTION) {
		*function = ptf_elf_ranges_function(ranges, &f);
		if (piece->part && !ptf_vec_push(&ranges->parts, *function))
			return false;
	}
	return *function != NO_FUNCTION &&
	       ptf_vec_push(&ranges->list,
	               (struct ptf_elf_range){.start = start, .end = end, .function = *function});
}

bool ptf_elf_ranges_fill(
        struct ptf_elf_ranges *ranges, struct ptf_elf_pieces *pieces, enum ptf_function_kind kind)
{
	size_t n = ranges->list.n, next = 0;
	uint64_t done = 0; /* pieces have taken what lies below */

	if (pieces->list.n == 0)
		return true;
	qsort(pieces->list.v, pieces->list.n, sizeof(*pieces->list.v), by_piece);
	ptf_vec_foreach (piece, &pieces->list) {
		uint32_t function = function_there(ranges, n, piece->start);
		uint64_t at = piece->start > done ? piece->start : done;

		while (next < n && ranges->list.v[next].end <= at)
			next++;
		for (size_t i = next; at < piece->end; i++) {
			bool last = i >= n || ranges->list.v[i].start >= piece->end;
			uint64_t end = last ? piece->end : ranges->list.v[i].start;

			if (at < end && !add_gap(ranges, piece, at, end, kind, &function))
				return false;
			at = last ? end : ranges->list.v[i].end;
		}
		done = at > done ? at : done;
	}
	qsort(ranges->list.v, ranges->list.n, sizeof(*ranges->list.v), by_range);
	return true;
}
