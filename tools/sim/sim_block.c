/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim.h"

#include <stdlib.h>
#include <Zydis/Zydis.h>

#include "qemu_plugin_abi.h"

#define BUCKETS (1u << 16)
#define GUEST_PAGE 4096u

static struct sim_block *buckets[BUCKETS];
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned bucket_of(uint64_t pc)
{
	return (pc * 0x9e3779b97f4a7c15ull) >> 48;
}

static void decoder_init(ZydisDecoder *decoder)
{
	ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static bool decode(const void *bytes, size_t size, ZydisDecodedInstruction *insn,
        ZydisDecodedOperand *operands, ZyanStatus *status)
{
	ZydisDecoder decoder;

	decoder_init(&decoder);
	*status = ZydisDecoderDecodeFull(&decoder, bytes, size, insn, operands);
	return ZYAN_SUCCESS(*status);
}

static bool is_direct(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
	return insn->operand_count_visible && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

/* What the instruction at pc is as the end of a block. */
static void classify(struct sim_block *block, const ZydisDecodedInstruction *insn,
        const ZydisDecodedOperand *operands)
{
	bool direct = is_direct(insn, operands);
	uint64_t rep = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
	ZyanU64 target = 0;

	if (direct && insn->raw.imm[0].is_relative)
		(void)ZydisCalcAbsoluteAddress(insn, &operands[0], block->last_pc, &target);
	block->target = target;
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		block->kind = SIM_COND;
		break;
	case ZYDIS_CATEGORY_UNCOND_BR:
		block->kind = direct ? SIM_JUMP : SIM_INDIRECT_JUMP;
		break;
	case ZYDIS_CATEGORY_CALL:
		block->kind = direct ? SIM_CALL : SIM_INDIRECT_CALL;
		if (direct && target == block->end) /* not a call to the hardware's return stack */
			block->kind = SIM_JUMP;
		break;
	case ZYDIS_CATEGORY_RET:
		block->kind = insn->mnemonic == ZYDIS_MNEMONIC_RET ? SIM_RETURN : SIM_FAR;
		break;
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
		block->kind = insn->mnemonic == ZYDIS_MNEMONIC_UD2 ? SIM_FALL : SIM_FAR;
		break;
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_IOSTRINGOP:
		block->kind = insn->attributes & rep ? SIM_REP : SIM_FALL;
		break;
	default:
		block->kind = SIM_FALL;
	}
	if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		block->kind = SIM_FAR;
}

/* QEMU 7.2 shows a plugin also the instruction that did not fit into the block because it goes on
 * in the next page, with the bytes that it had read of it. */
static bool was_undone(const struct qemu_plugin_tb *tb, size_t n, ZyanStatus status)
{
	struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n - 1);
	uint64_t pc = qemu_plugin_insn_vaddr(insn);
	uint64_t end = pc + qemu_plugin_insn_size(insn);
	uint64_t page = qemu_plugin_tb_vaddr(tb) / GUEST_PAGE;

	if (n < 2)
		return false;
	if (pc / GUEST_PAGE != page || (end - 1) / GUEST_PAGE != page)
		return true;
	return end % GUEST_PAGE == 0 && status == ZYDIS_STATUS_NO_MORE_DATA;
}

static void describe(const struct qemu_plugin_tb *tb, struct sim_block *block)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status;
	bool known = decode(
	        qemu_plugin_insn_data(last), qemu_plugin_insn_size(last), &insn, operands, &status);

	block->pc = qemu_plugin_tb_vaddr(tb);
	if (was_undone(tb, n, status)) {
		block->end = qemu_plugin_insn_vaddr(last);
		last = qemu_plugin_tb_get_insn(tb, --n - 1);
		known = false; /* a branch would have ended the block */
	} else {
		block->end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
	}
	block->last_pc = qemu_plugin_insn_vaddr(last);
	block->insns = (uint32_t)n;
	if (known)
		classify(block, &insn, operands);
}

static bool same(const struct sim_block *a, const struct sim_block *b)
{
	return a->pc == b->pc && a->end == b->end && a->last_pc == b->last_pc &&
	       a->target == b->target && a->insns == b->insns && a->kind == b->kind;
}

struct sim_block *sim_block_of(const struct qemu_plugin_tb *tb)
{
	struct sim_block wanted = {.kind = SIM_FALL}, *block;
	unsigned bucket;

	describe(tb, &wanted);
	bucket = bucket_of(wanted.pc);
	pthread_mutex_lock(&blocks_lock);
	for (block = buckets[bucket]; block && !same(block, &wanted);)
		block = block->next;
	if (!block && (block = malloc(sizeof(*block)))) {
		*block = wanted;
		block->handler = sim_signal_known(block->pc);
		block->next = buckets[bucket];
		buckets[bucket] = block;
	}
	pthread_mutex_unlock(&blocks_lock);
	return block;
}

void sim_block_mark_handler(uint64_t pc)
{
	struct sim_block *block;

	pthread_mutex_lock(&blocks_lock);
	for (block = buckets[bucket_of(pc)]; block; block = block->next)
		block->handler |= block->pc == pc;
	pthread_mutex_unlock(&blocks_lock);
}

int sim_block_insns_before(const struct sim_block *block, uint64_t ip)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status;
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
	uint64_t at = block->pc;
	int n = 0;

	while (at < ip && at < block->end) {
		size_t size = sim_guest_read(at, bytes, sizeof(bytes));

		if (!decode(bytes, size, &insn, operands, &status))
			return -1;
		at += insn.length;
		n++;
	}
	return at == ip && ip < block->end ? n : -1;
}
