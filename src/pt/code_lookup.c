/* SPDX-License-Identifier: BSD-2-Clause */
#include "pt/code_lookup.h"

/* Fibonacci hashing: one multiplication, and neighbouring addresses spread over the slots. */
static size_t slot_of(uint64_t ip, bool target)
{
	return (size_t)((ip * 2 + target) * 0x9e3779b97f4a7c15ull >> (64 - PTF_CODE_LOOKUP_BITS));
}

struct ptf_code_place *ptf_code_lookup_at(
        struct ptf_code_lookup *lookup, const struct ptf_code_epoch *code, uint64_t ip, bool target)
{
	struct ptf_code_place *place = &lookup->slots[slot_of(ip, target)];
	uint64_t entry;

	if (place->ip == ip && place->epoch == code->id + 1 && place->target == target)
		return place;
	*place = (struct ptf_code_place){.ip = ip, .epoch = code->id + 1, .target = target};
	place->function = ptf_code_epoch_function_entry(code, ip, target, &entry);
	place->entry = entry == ip;
	return place;
}

const struct ptf_insn *ptf_code_lookup_insn(struct ptf_code_lookup *lookup,
        const struct ptf_code_epoch *code, uint64_t ip, enum ptf_exec_mode mode)
{
	struct ptf_code_place *place = ptf_code_lookup_at(lookup, code, ip, false);
	uint8_t bytes[PTF_INSN_MAX_SIZE];
	size_t size;

	if (place->insn.size)
		return &place->insn;
	size = ptf_code_epoch_read_across(code, ip, bytes, sizeof(bytes));
	if (!ptf_insn_decode(&place->insn, bytes, size, mode))
		place->insn = (struct ptf_insn){0};
	return &place->insn;
}
