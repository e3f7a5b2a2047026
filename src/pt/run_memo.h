/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memo of runs: what a packet did the last time that it came at the same block.
 *
 * A run begins where the packet before it left off and goes on to the last branch that the packet
 * decides. What it does depends on nothing but the block, the packet, and those entries of the
 * return stack that it pops: they are part of the memo, and a run that finds others is not used.
 */
#ifndef PTF_RUN_MEMO_H
#define PTF_RUN_MEMO_H

#include "pt/block_cache.h"

enum {
	PTF_RUN_MEMO_BITS = 14,
	PTF_RUN_MAX_STEPS = 48,
	PTF_RUN_MAX_MOVES = 16, /* of the return stack, each way */
};

/* An item on the way. */
struct ptf_run_step {
	uint32_t insns; /* retired since the run's beginning */
	struct ptf_flow_item item;
};

struct ptf_run {
	const struct ptf_code_block *from; /* where it begins, NULL: an empty slot */
	uint64_t key;                      /* of the packet */
	struct ptf_code_block *to;         /* runs next */
	const struct ptf_code_block *last; /* the last that ran */
	const struct ptf_run_step *steps;  /* n_steps, in the memo's arena */
	struct ptf_code_block **moves;     /* calls popped, the first first; then those pushed */
	uint32_t insns;
	uint16_t calls, returns, blocks, n_steps;
	uint8_t n_pops, n_pushes;
	uint8_t height; /* the most calls that were open beyond those at the beginning */
	bool last_item; /* the last step tells of the transfer to `to` */
};

/* A run that is being recorded. */
struct ptf_run_recorder {
	bool on;
	const struct ptf_code_block *from;
	uint64_t key;
	uint64_t position; /* of the timer, at its beginning */
	uint64_t calls, returns;
	size_t n_steps, n_pops, n_pushes;
	int height, max_height;
	struct ptf_run_step steps[PTF_RUN_MAX_STEPS];
	struct ptf_code_block *pops[PTF_RUN_MAX_MOVES], *pushes[PTF_RUN_MAX_MOVES];
};

struct ptf_run_memo {
	struct ptf_run *slots;  /* owned; 1 << PTF_RUN_MEMO_BITS, NULL until the first run */
	struct ptf_arena arena; /* steps and moves */
	struct ptf_run_recorder recorder;
};

void ptf_run_memo_release(struct ptf_run_memo *memo);

/* A TNT packet's key; bits: fewer than 48. A TIP's is its target, in the lower half of the
 * addresses: both are never equal. */
static inline uint64_t ptf_run_tnt_key(uint64_t bits, unsigned n)
{
	return 1ull << 63 | (uint64_t)n << 48 | bits;
}

static inline size_t ptf_run_slot(const struct ptf_code_block *from, uint64_t key)
{
	return (size_t)(((uintptr_t)from * 0x9e3779b97f4a7c15ull ^ key * 0xd6e8feb86659fd93ull) >>
	                (64 - PTF_RUN_MEMO_BITS));
}

/* The run that the packet makes from a block, NULL: not known. */
static inline const struct ptf_run *ptf_run_memo_find(
        const struct ptf_run_memo *memo, const struct ptf_code_block *from, uint64_t key)
{
	const struct ptf_run *run;

	if (!memo->slots)
		return NULL;
	run = &memo->slots[ptf_run_slot(from, key)];
	return run->from == from && run->key == key ? run : NULL;
}

/* Begins to record. */
void ptf_run_memo_record(struct ptf_run_memo *memo, const struct ptf_code_block *from, uint64_t key,
        uint64_t position);

/* What happens in it, while `recorder.on`. */
void ptf_run_record_item(
        struct ptf_run_recorder *recorder, const struct ptf_flow_item *item, uint64_t position);
void ptf_run_record_push(struct ptf_run_recorder *recorder, struct ptf_code_block *call);
void ptf_run_record_pop(struct ptf_run_recorder *recorder, struct ptf_code_block *call);

/* The run has come to its end; keeps it. end: to, last, insns, calls, returns, blocks and last_item
 * are set. false: out of memory. */
bool ptf_run_memo_keep(struct ptf_run_memo *memo, const struct ptf_run *end);

#endif
