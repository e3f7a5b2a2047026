/* SPDX-License-Identifier: BSD-2-Clause */
#include <Zydis/Zydis.h>

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

static uint8_t decode_size(const struct ptf_code_epoch *code, uint64_t ip, bool code32)
{
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
	size_t size = ptf_code_epoch_read(code, ip, bytes, sizeof(bytes));
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;

	if (size >= 5 && bytes[0] == 0xe8)
		return 5;
	ZydisDecoderInit(&decoder,
	        code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LONG_64,
	        code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, size, &insn)))
		return 0;
	return insn.length;
}

uint8_t ptf_code_lookup_insn_size(
        struct ptf_code_lookup *lookup, const struct ptf_code_epoch *code, uint64_t ip, bool code32)
{
	struct ptf_code_place *place = ptf_code_lookup_at(lookup, code, ip, false);

	if (!place->insn_size)
		place->insn_size = decode_size(code, ip, code32);
	return place->insn_size;
}
