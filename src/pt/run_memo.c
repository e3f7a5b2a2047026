/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "pt/run_memo.h"

/* Bytes of steps and moves after which the memo begins anew: what newer runs pushed out of their
 * slots is not freed one by one. */
enum { MAX_BYTES = 24 << 20 };

void ptf_run_memo_release(struct ptf_run_memo *memo)
{
	free(memo->slots);
	memo->slots = NULL;
	ptf_arena_release(&memo->arena);
}

void ptf_run_memo_record(struct ptf_run_memo *memo, const struct ptf_code_block *from, uint64_t key,
        uint64_t position)
{
	struct ptf_run_recorder *recorder = &memo->recorder;

	recorder->on = true;
	recorder->from = from;
	recorder->key = key;
	recorder->position = position;
	recorder->n_steps = recorder->n_pops = recorder->n_pushes = 0;
	recorder->height = recorder->max_height = 0;
}

void ptf_run_record_item(
        struct ptf_run_recorder *recorder, const struct ptf_flow_item *item, uint64_t position)
{
	struct ptf_run_step *step = &recorder->steps[recorder->n_steps];

	if (recorder->n_steps == PTF_RUN_MAX_STEPS || position - recorder->position > UINT32_MAX) {
		recorder->on = false;
		return;
	}
	step->insns = (uint32_t)(position - recorder->position);
	step->item = *item;
	recorder->n_steps++;
}

void ptf_run_record_push(struct ptf_run_recorder *recorder, struct ptf_code_block *call)
{
	if (recorder->n_pushes == PTF_RUN_MAX_MOVES) {
		recorder->on = false;
		return;
	}
	recorder->pushes[recorder->n_pushes++] = call;
	if (++recorder->height > recorder->max_height)
		recorder->max_height = recorder->height;
}

void ptf_run_record_pop(struct ptf_run_recorder *recorder, struct ptf_code_block *call)
{
	recorder->height--;
	if (recorder->n_pushes) {
		recorder->n_pushes--;
		return;
	}
	if (recorder->n_pops == PTF_RUN_MAX_MOVES) {
		recorder->on = false;
		return;
	}
	recorder->pops[recorder->n_pops++] = call;
}

static bool make_room(struct ptf_run_memo *memo)
{
	size_t size = sizeof(*memo->slots) << PTF_RUN_MEMO_BITS;

	if (memo->arena.total > MAX_BYTES) {
		ptf_arena_release(&memo->arena);
		memset(memo->slots, 0, size);
	}
	if (!memo->slots)
		memo->slots = calloc(1, size);
	return memo->slots != NULL;
}

bool ptf_run_memo_keep(struct ptf_run_memo *memo, const struct ptf_run *end)
{
	struct ptf_run_recorder *r = &memo->recorder;
	size_t steps_size = r->n_steps * sizeof(*r->steps), moves = r->n_pops + r->n_pushes;
	struct ptf_run run = *end, *slot;
	struct ptf_run_step *steps;

	if (!r->on)
		return true;
	r->on = false;
	if (!make_room(memo))
		return false;
	steps = ptf_arena_alloc(&memo->arena, steps_size);
	run.moves = ptf_arena_alloc(&memo->arena, moves * sizeof(struct ptf_code_block *));
	if (!steps || !run.moves)
		return false;
	memcpy(steps, r->steps, steps_size);
	memcpy(run.moves, r->pops, r->n_pops * sizeof(struct ptf_code_block *));
	memcpy(run.moves + r->n_pops, r->pushes, r->n_pushes * sizeof(struct ptf_code_block *));
	run.from = r->from;
	run.key = r->key;
	run.steps = steps;
	run.n_steps = (uint16_t)r->n_steps;
	run.n_pops = (uint8_t)r->n_pops;
	run.n_pushes = (uint8_t)r->n_pushes;
	run.height = (uint8_t)r->max_height;
	slot = &memo->slots[ptf_run_slot(r->from, r->key)];
	*slot = run;
	return true;
}
