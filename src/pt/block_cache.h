/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code as PT sees it: straight runs of instructions up to the next branch, decoded once and linked.
 *
 * A block begins where a branch or an event led; so blocks may overlap. It belongs to one epoch of
 * one process's code and to one execution mode. Not thread-safe: each engine has its own.
 */
#ifndef PTF_BLOCK_CACHE_H
#define PTF_BLOCK_CACHE_H

#include "base/arena.h"
#include "pt/code_lookup.h"
#include "pt/flow_item.h"
#include "pt/insn_class.h"

/* How a block goes on. */
enum ptf_block_kind {
	PTF_BLOCK_NEXT,   /* to the next instruction: end of a mapping, or very long */
	PTF_BLOCK_TARGET, /* direct jump or call */
	PTF_BLOCK_COND,   /* a TNT bit: to the target or to the next instruction */
	PTF_BLOCK_RETURN, /* a TNT bit: to the return stack's top; or a TIP */
	PTF_BLOCK_TIP,    /* indirect jump or call, far branch: a TIP */
	PTF_BLOCK_ERROR,  /* behind its instructions, if any, no code can be read */
};

struct ptf_code_block;
struct ptf_dynamic_edge;

/* Where a block can go. */
struct ptf_block_edge {
	struct ptf_code_block *to;        /* NULL: not resolved yet */
	const struct ptf_flow_item *item; /* to tell when going there, NULL: nothing */
};

enum { PTF_EDGE_NEXT, PTF_EDGE_TARGET };

struct ptf_code_block {
	uint8_t kind;       /* enum ptf_block_kind */
	uint8_t insn_class; /* enum ptf_insn_class, of the last instruction */
	uint8_t mode;       /* enum ptf_exec_mode */
	uint8_t error;      /* PTF_BLOCK_ERROR: libipt's error code, > 0 */
	bool has_cr3;       /* a MOV CR3 is among the instructions */
	uint32_t insns;
	uint32_t epoch;                      /* id + 1 of `code`, 0: none */
	uint64_t ip;                         /* first instruction */
	uint64_t end_ip;                     /* last instruction; ip when there is none */
	uint64_t next_ip;                    /* behind it */
	uint64_t target;                     /* of a direct branch */
	const struct ptf_code_epoch *code;   /* borrowed, NULL: no code known */
	const struct ptf_function *function; /* where the last branch led, NULL: no code known */
	struct ptf_block_edge edges[2];      /* PTF_EDGE_NEXT: also where its call returns to */
	struct ptf_dynamic_edge *dynamic;    /* in the arena, NULL: none yet */
};

/* Where a block whose target is not in its code went the last time. */
struct ptf_dynamic_edge {
	struct ptf_code_block *to;
	bool tells; /* there is an item to tell */
	struct ptf_flow_item item;
};

struct ptf_block_cache {
	struct ptf_arena arena;        /* owns blocks and their items */
	struct ptf_code_block **slots; /* owned; open addressing, cap a power of two, NULL: empty */
	size_t n, cap;
};

void ptf_block_cache_release(struct ptf_block_cache *cache);

/* The block at ip; NULL only when out of memory. lookup: for functions. function: of the code that
 * runs on into it without a branch, NULL: a branch leads to it. */
struct ptf_code_block *ptf_block_cache_at(struct ptf_block_cache *cache,
        struct ptf_code_lookup *lookup, const struct ptf_code_epoch *code, uint64_t ip,
        enum ptf_exec_mode mode, const struct ptf_function *function);

/* A place inside a block, found by decoding it again. */
struct ptf_block_place {
	uint32_t insns;   /* instructions before it */
	uint64_t last_ip; /* of the last of them */
	uint64_t ip;      /* of the place */
};

/* What to look for in a block. */
struct ptf_block_search {
	uint64_t ip;  /* this instruction, PTF_NO_IP: none */
	bool behind;  /* the place behind it */
	bool ptwrite; /* the place behind the next PTWRITE */
	bool cr3;     /* the place behind the next MOV CR3 */
};

/* Is it in the block? Where the block stopped for an error counts as in it. */
bool ptf_code_block_find(const struct ptf_code_block *block, const struct ptf_block_search *search,
        struct ptf_block_place *place);

#endif
