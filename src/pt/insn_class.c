/* SPDX-License-Identifier: BSD-2-Clause */
#include <Zydis/Zydis.h>

#include "pt/insn_class.h"

static void init_decoder(ZydisDecoder *decoder, enum ptf_exec_mode mode)
{
	if (mode == PTF_MODE_64)
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (mode == PTF_MODE_32)
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	/* Lengths and opcodes only: a third of the time. */
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
}

static enum ptf_insn_class class_of_ff(const ZydisDecodedInstruction *insn)
{
	switch (insn->raw.modrm.reg) {
	case 2:
		return PTF_INSN_CALL;
	case 3:
		return PTF_INSN_FAR_CALL;
	case 4:
		return PTF_INSN_JUMP;
	case 5:
		return PTF_INSN_FAR_JUMP;
	default:
		return PTF_INSN_OTHER;
	}
}

/* One-byte opcodes. */
static enum ptf_insn_class class_of_plain(const ZydisDecodedInstruction *insn)
{
	if ((insn->opcode & 0xf0) == 0x70)
		return PTF_INSN_COND_JUMP;
	switch (insn->opcode) {
	case 0xe8:
		return PTF_INSN_CALL;
	case 0xe9:
	case 0xeb:
		return PTF_INSN_JUMP;
	case 0xe0:
	case 0xe1:
	case 0xe2:
	case 0xe3:
		return PTF_INSN_COND_JUMP;
	case 0xc2:
	case 0xc3:
		return PTF_INSN_RETURN;
	case 0x9a:
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xf1:
		return PTF_INSN_FAR_CALL;
	case 0xca:
	case 0xcb:
	case 0xcf:
		return PTF_INSN_FAR_RETURN;
	case 0xea:
		return PTF_INSN_FAR_JUMP;
	case 0xff:
		return class_of_ff(insn);
	default:
		return PTF_INSN_OTHER;
	}
}

/* 0F 01: VMCALL, VMLAUNCH, VMRESUME, UIRET. */
static enum ptf_insn_class class_of_0f01(const ZydisDecodedInstruction *insn)
{
	if (insn->raw.modrm.mod != 3)
		return PTF_INSN_OTHER;
	switch (insn->raw.modrm.reg << 3 | insn->raw.modrm.rm) {
	case 1:
		return PTF_INSN_FAR_CALL;
	case 2:
	case 3:
	case 5 << 3 | 4:
		return PTF_INSN_FAR_RETURN;
	default:
		return PTF_INSN_OTHER;
	}
}

static bool has_prefix(const ZydisDecodedInstruction *insn, uint8_t prefix)
{
	for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
		if (insn->raw.prefixes[i].value == prefix)
			return true;
	}
	return false;
}

/* Opcodes behind 0F. */
static enum ptf_insn_class class_of_0f(const ZydisDecodedInstruction *insn)
{
	if ((insn->opcode & 0xf0) == 0x80)
		return PTF_INSN_COND_JUMP;
	switch (insn->opcode) {
	case 0x01:
		return class_of_0f01(insn);
	case 0x05:
	case 0x34:
		return PTF_INSN_FAR_CALL;
	case 0x07:
	case 0x35:
		return PTF_INSN_FAR_RETURN;
	case 0xae:
		return insn->raw.modrm.reg == 4 && has_prefix(insn, 0xf3) && !has_prefix(insn, 0x66)
		               ? PTF_INSN_PTWRITE
		               : PTF_INSN_OTHER;
	default:
		return PTF_INSN_OTHER;
	}
}

static enum ptf_insn_class class_of(const ZydisDecodedInstruction *insn)
{
	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return PTF_INSN_OTHER;
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return class_of_plain(insn);
	return insn->opcode_map == ZYDIS_OPCODE_MAP_0F ? class_of_0f(insn) : PTF_INSN_OTHER;
}

bool ptf_insn_decode(
        struct ptf_insn *insn, const uint8_t *bytes, size_t size, enum ptf_exec_mode mode)
{
	ZydisDecodedInstruction decoded;
	ZydisDecoder decoder;

	if (mode == PTF_MODE_UNKNOWN)
		return false;
	init_decoder(&decoder, mode);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, size, &decoded)))
		return false;
	*insn = (struct ptf_insn){.insn_class = class_of(&decoded), .size = decoded.length};
	insn->sets_cr3 = decoded.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	                 decoded.opcode_map == ZYDIS_OPCODE_MAP_0F && decoded.opcode == 0x22 &&
	                 decoded.raw.modrm.reg == 3 && !decoded.raw.rex.R;
	if (insn->insn_class != PTF_INSN_OTHER && decoded.raw.imm[0].is_relative) {
		insn->direct = true;
		insn->displacement = (int32_t)decoded.raw.imm[0].value.s;
	}
	return true;
}
