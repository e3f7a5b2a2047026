/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/elf_cold.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"

struct part {                /* a range of a part */
	uint64_t start, end; /* ELF virtual addresses */
	uint32_t owner;      /* the function with most jumps into it so far */
	uint64_t jumps;      /* of the owner */
};

struct join {
	struct ptf_elf_ranges *ranges; /* borrowed */
	struct part *parts;            /* sorted by start */
	size_t n;
	bool *is_part;             /* by function */
	struct ptf_hash_map jumps; /* part << 32 | function -> number of jumps */
};

static int by_start(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* The part that has the address, or NULL. */
static struct part *part_at(const struct join *join, uint64_t vaddr)
{
	size_t low = 0, high = join->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (join->parts[middle].end <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < join->n && vaddr >= join->parts[low].start ? &join->parts[low] : NULL;
}

static bool count_jump(struct join *join, uint32_t function, uint64_t target)
{
	struct part *part = part_at(join, target);
	uint64_t *jumps;

	if (!part)
		return true;
	jumps = ptf_hash_map_at(
	        &join->jumps, (uint64_t)(part - join->parts) << 32 | function, NULL);
	if (!jumps)
		return false;
	if (++*jumps > part->jumps) {
		part->jumps = *jumps;
		part->owner = function;
	}
	return true;
}

/* Counts what looks like a direct jump into a part. Instructions are not decoded: that four bytes
 * behind a jump's opcode lead into a part by chance is so rare that the majority is right. */
static bool count_jumps(
        struct join *join, const struct ptf_elf_file *file, const struct ptf_elf_range *range)
{
	size_t size = 0;
	const uint8_t *code = ptf_elf_file_bytes(file, range->start, &size);

	if (!code || size > range->end - range->start)
		size = range->end - range->start;
	for (size_t i = 0; code && i + 5 <= size; i++) {
		bool jmp = code[i] == 0xe9;
		bool jcc = i > 0 && (code[i] & 0xf0) == 0x80 && code[i - 1] == 0x0f;
		int32_t distance;

		if (!jmp && !jcc)
			continue;
		memcpy(&distance, code + i + 1, sizeof(distance));
		if (!count_jump(join, range->function,
		            range->start + i + 5 + (uint64_t)(int64_t)distance))
			return false;
	}
	return true;
}

static bool find_parts(struct join *join)
{
	struct ptf_elf_ranges *ranges = join->ranges;

	join->parts = calloc(ranges->list.n, sizeof(*join->parts));
	join->is_part = calloc(ranges->functions.n, sizeof(*join->is_part));
	if (!join->parts || !join->is_part)
		return false;
	ptf_vec_foreach (function, &ranges->parts)
		join->is_part[*function] = true;
	ptf_vec_foreach (range, &ranges->list) {
		if (!join->is_part[range->function])
			continue;
		join->parts[join->n++] = (struct part){
		        .start = range->start, .end = range->end, .owner = range->function};
	}
	qsort(join->parts, join->n, sizeof(*join->parts), by_start);
	return true;
}

bool ptf_elf_cold_join(struct ptf_elf_ranges *ranges, const struct ptf_elf_file *file)
{
	struct join join = {.ranges = ranges};
	bool ok = ranges->parts.n == 0 || find_parts(&join);

	for (size_t i = 0; ok && join.n && i < ranges->list.n; i++)
		if (!join.is_part[ranges->list.v[i].function])
			ok = count_jumps(&join, file, &ranges->list.v[i]);
	for (size_t i = 0; ok && i < join.n; i++) {
		size_t at = (size_t)(ptf_elf_range_before(
		                             ranges->list.v, ranges->list.n, join.parts[i].start) -
		                     ranges->list.v);

		ranges->list.v[at].function = join.parts[i].owner;
	}
	ptf_hash_map_release(&join.jumps);
	free(join.parts);
	free(join.is_part);
	return ok;
}
