/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast engine's state, shared by its packets (fast_engine.c) and its walk over code
 * (fast_walk.c). Private to them.
 */
#ifndef PTF_FAST_ENGINE_H
#define PTF_FAST_ENGINE_H

#include "pt/block_cache.h"
#include "pt/flow_teller.h"
#include "pt/run_memo.h"

/* Calls that returns are compressed against (SDM, "Indirect Transfer Compression for Returns"). */
#define PTF_RETURN_STACK 64u

struct ptf_return_stack {
	struct ptf_code_block *calls[PTF_RETURN_STACK]; /* ring; each returns to its next_ip */
	uint64_t top;                                   /* calls ever pushed and not popped */
	uint64_t bottom; /* calls[bottom % 64 .. top % 64) are valid */
};

struct ptf_flow_engine {
	struct ptf_flow_teller t;
	const struct ptf_engine_config *config;
	struct ptf_block_cache blocks;
	struct ptf_run_memo memo;
	struct ptf_return_stack stack;
	struct ptf_last_ip last_ip;
	const uint8_t *bytes;        /* of the segment */
	uint64_t pos, size;          /* bytes: the next packet, the segment */
	uint64_t packet_at;          /* offset of the packet in hand */
	enum ptf_packet_block block; /* block items may come */

	struct ptf_code_block *at; /* runs next, NULL: tracing is off */
	uint64_t off_ip;           /* while it is off: where libipt expects it to go on */
	enum ptf_exec_mode mode;
	/* The last block that ran, whose transfer to `at` is told, or NULL: what there is to tell
	 * is open in the teller. */
	const struct ptf_code_block *prev;
	bool prev_by_tip; /* a TIP gave that transfer's target */
	bool prev_item;   /* that transfer is the timer's last item */

	uint64_t tnt;         /* bits that wait behind an indirect branch for its TIP, oldest */
	unsigned tnt_n;       /* highest; how many */
	bool fresh;           /* the TNT or TIP in hand has not led through a branch yet */
	unsigned idle_blocks; /* since the last packet */

	bool mode_pending; /* a MODE.Exec waits for its TIP, TIP.PGE or TIP.PGD */
	enum ptf_exec_mode next_mode;
	bool fup_pending; /* fup_ip waits for its TIP or TIP.PGD */
	uint64_t fup_ip;
	struct ptf_packet fup_owner; /* the next FUP belongs to it; kind PAD: to none */
};

/* How a walk ended. */
enum ptf_walk {
	PTF_WALK_DONE,        /* where it was to go */
	PTF_WALK_NEEDS_TRACE, /* behind a branch that only a packet resolves: it is open */
	PTF_WALK_GAVE_UP,     /* the segment is done */
};

/* The block at ip becomes the next to run. Functions of type int return 0 or -PTF_ENOMEM, those of
 * the walk an enum ptf_walk or -PTF_ENOMEM. */
int ptf_fast_go_to(struct ptf_flow_engine *e, uint64_t ip);

/* Opens the last transfer again: an event says what it was. */
void ptf_fast_reopen(struct ptf_flow_engine *e);

/* The execution mode changes where `at` is. */
int ptf_fast_set_mode(struct ptf_flow_engine *e, enum ptf_exec_mode mode);

/* The packets do not fit the branch that ends the block at `at`: it ran, nobody knows where to. */
int ptf_fast_fail(struct ptf_flow_engine *e, int code);

/* The packets end while bits wait behind the branch that ends the block at `at`. */
int ptf_fast_stop_at_branch(struct ptf_flow_engine *e);

/* Gives the segment up: reopens, tells, ends. */
int ptf_fast_give_up(struct ptf_flow_engine *e, int code, uint64_t ip, uint64_t offset);

/* A TNT-8 packet, or several without anything between them: they are one run, for nothing tells
 * their times. */
struct ptf_tnt_run {
	uint64_t bits;
	unsigned n;    /* bits, 1..47 */
	unsigned size; /* bytes, each a packet */
};

/* Branches of a TNT-8 packet. */
static inline unsigned ptf_fast_tnt8_bits(unsigned byte)
{
	return 30 - (unsigned)__builtin_clz(byte);
}

/* Runs through the branches that the packets at e->pos decide, and moves e->pos over those that
 * were taken: all, unless one of them is not used up before a TIP comes. */
int ptf_fast_take_tnt(struct ptf_flow_engine *e, const struct ptf_tnt_run *tnt);

/* Runs through the branches that e->tnt decides, as far as they go without a TIP. */
int ptf_fast_run_tnt(struct ptf_flow_engine *e);

/* Runs to the next indirect branch, which went to ip (PTF_NO_IP: the packet does not say). */
int ptf_fast_take_tip(struct ptf_flow_engine *e, uint64_t ip);

/* Runs without packets until the place is reached; what is not found is never reached. */
int ptf_fast_walk_to(struct ptf_flow_engine *e, const struct ptf_block_search *stop);

/* The offset of the next packet that matters for flow, from e->pos on: how far libipt had read. */
uint64_t ptf_fast_read_ahead(const struct ptf_flow_engine *e);

/* The same, and takes the timing packets up to there that no FUP stands before. */
uint64_t ptf_fast_take_timing(struct ptf_flow_engine *e);

#endif
