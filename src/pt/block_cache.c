/* SPDX-License-Identifier: BSD-2-Clause */
#include <intel-pt.h>
#include <stdlib.h>

#include "pt/block_cache.h"

enum {
	FIRST_CAP = 1024,
	MAX_INSNS = 4096, /* of a block: bounds the work on data taken for code */
	WINDOW = 64,      /* bytes of code read at once */
};

void ptf_block_cache_release(struct ptf_block_cache *cache)
{
	ptf_arena_release(&cache->arena);
	free(cache->slots);
	*cache = (struct ptf_block_cache){0};
}

/* ---- decoding ---- */

/* Code bytes, read a window at a time. */
struct code_window {
	const struct ptf_code_epoch *code;
	uint64_t ip;
	size_t size;
	uint8_t bytes[WINDOW];
};

static bool window_decode(
        struct code_window *w, uint64_t ip, enum ptf_exec_mode mode, struct ptf_insn *insn)
{
	if (ip < w->ip || ip - w->ip + PTF_INSN_MAX_SIZE > w->size) {
		w->ip = ip;
		w->size = ptf_code_epoch_read_across(w->code, ip, w->bytes, WINDOW);
	}
	return ptf_insn_decode(insn, w->bytes + (ip - w->ip), w->size - (ip - w->ip), mode);
}

static enum ptf_block_kind kind_of(const struct ptf_insn *insn)
{
	if (insn->insn_class == PTF_INSN_COND_JUMP)
		return PTF_BLOCK_COND;
	if (insn->insn_class == PTF_INSN_RETURN)
		return PTF_BLOCK_RETURN;
	return ptf_insn_needs_trace(insn) ? PTF_BLOCK_TIP : PTF_BLOCK_TARGET;
}

static bool is_branch(const struct ptf_insn *insn)
{
	return insn->insn_class != PTF_INSN_OTHER && insn->insn_class != PTF_INSN_PTWRITE;
}

static void decode_block(struct ptf_code_block *b, const struct ptf_code_epoch *code)
{
	const struct ptf_code_map *map = code ? ptf_code_epoch_find(code, b->ip) : NULL;
	struct code_window window = {.code = code};
	struct ptf_insn insn;

	b->end_ip = b->next_ip = b->ip;
	b->kind = PTF_BLOCK_NEXT;
	if (!map) {
		b->kind = PTF_BLOCK_ERROR;
		b->error = pte_nomap;
		return;
	}
	while (b->next_ip < map->end && b->insns < MAX_INSNS) {
		if (!window_decode(&window, b->next_ip, b->mode, &insn)) {
			b->kind = PTF_BLOCK_ERROR;
			b->error = window.size ? pte_bad_insn : pte_nomap;
			return;
		}
		b->insns++;
		b->end_ip = b->next_ip;
		b->next_ip += insn.size;
		b->insn_class = insn.insn_class;
		b->has_cr3 |= insn.sets_cr3;
		if (is_branch(&insn)) {
			b->kind = kind_of(&insn);
			b->target = b->next_ip + (uint64_t)(int64_t)insn.displacement;
			return;
		}
	}
}

/* ---- the table ---- */

static uint64_t hash_of(uint32_t epoch, uint64_t ip, enum ptf_exec_mode mode)
{
	return (ip ^ (uint64_t)epoch << 40 ^ (uint64_t)mode << 60) * 0x9e3779b97f4a7c15ull;
}

static size_t slot_of(const struct ptf_block_cache *cache, uint64_t hash)
{
	return (size_t)(hash >> 20) & (cache->cap - 1);
}

static bool grow(struct ptf_block_cache *cache)
{
	size_t old_cap = cache->cap, cap = old_cap ? old_cap * 2 : FIRST_CAP;
	struct ptf_code_block **old = cache->slots;
	struct ptf_code_block **slots = calloc(cap, sizeof(struct ptf_code_block *));

	if (!slots)
		return false;
	cache->slots = slots;
	cache->cap = cap;
	for (size_t i = 0; i < old_cap; i++) {
		struct ptf_code_block *b = old[i];
		size_t at;

		if (!b)
			continue;
		at = slot_of(cache, hash_of(b->epoch, b->ip, b->mode));
		while (slots[at])
			at = (at + 1) & (cap - 1);
		slots[at] = b;
	}
	free(old);
	return true;
}

static struct ptf_code_block *make_block(struct ptf_block_cache *cache,
        const struct ptf_code_epoch *code, uint64_t ip, enum ptf_exec_mode mode,
        const struct ptf_function *function)
{
	struct ptf_code_block *b = ptf_arena_alloc(&cache->arena, sizeof(*b));

	if (!b)
		return NULL;
	b->code = code;
	b->epoch = code ? code->id + 1 : 0;
	b->ip = ip;
	b->mode = mode;
	b->function = function;
	decode_block(b, code);
	return b;
}

struct ptf_code_block *ptf_block_cache_at(struct ptf_block_cache *cache,
        struct ptf_code_lookup *lookup, const struct ptf_code_epoch *code, uint64_t ip,
        enum ptf_exec_mode mode, const struct ptf_function *function)
{
	uint32_t epoch = code ? code->id + 1 : 0;
	uint64_t hash = hash_of(epoch, ip, mode);
	struct ptf_code_block *b;
	size_t at;

	if (code && !function)
		function = ptf_code_lookup_at(lookup, code, ip, false)->function;
	if (cache->n * 2 >= cache->cap && !grow(cache))
		return NULL;
	for (at = slot_of(cache, hash); (b = cache->slots[at]); at = (at + 1) & (cache->cap - 1)) {
		if (b->ip == ip && b->epoch == epoch && b->mode == mode && b->function == function)
			return b;
	}
	b = make_block(cache, code, ip, mode, function);
	if (b) {
		cache->slots[at] = b;
		cache->n++;
	}
	return b;
}

/* ---- places ---- */

static bool is_wanted(
        const struct ptf_block_search *search, uint64_t ip, const struct ptf_insn *insn)
{
	return (search->behind && ip == search->ip) ||
	       (search->ptwrite && insn->insn_class == PTF_INSN_PTWRITE) ||
	       (search->cr3 && insn->sets_cr3);
}

bool ptf_code_block_find(const struct ptf_code_block *block, const struct ptf_block_search *search,
        struct ptf_block_place *place)
{
	uint64_t stop = search->behind ? PTF_NO_IP : search->ip;
	struct code_window window = {.code = block->code};
	struct ptf_insn insn;

	if (search->ip != PTF_NO_IP && (search->ip < block->ip || search->ip > block->next_ip))
		return false;
	*place = (struct ptf_block_place){.ip = block->ip, .last_ip = block->ip};
	while (place->insns < block->insns && place->ip != stop) {
		if (!window_decode(&window, place->ip, block->mode, &insn))
			return false;
		place->insns++;
		place->last_ip = place->ip;
		place->ip += insn.size;
		if (is_wanted(search, place->last_ip, &insn))
			return true;
	}
	return place->ip == stop && (place->insns < block->insns || block->kind == PTF_BLOCK_ERROR);
}
