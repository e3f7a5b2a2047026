/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What both engines have in common: from branches, events and timing packets to flow items.
 *
 * An engine walks the code and calls the teller, in this order for each packet in stream order:
 * timing packets (ptf_flow_teller_timing); a TNT or TIP (open_packet) and then the blocks that it
 * leads through; events. What a branch is told as depends on where it went, so it stays *open*
 * until the next block begins or an event says more.
 *
 * Private to engines. Functions of type int return 0 or -PTF_ENOMEM.
 */
#ifndef PTF_FLOW_TELLER_H
#define PTF_FLOW_TELLER_H

#include "pt/code_lookup.h"
#include "pt/flow_engine.h"
#include "pt/insn_class.h"

/* Blocks without a packet: real code takes a branch that needs one long before. */
enum { PTF_MAX_IDLE_BLOCKS = 1 << 16 };

/* The packet that gave the last branches: its time is that of the last of them. */
struct ptf_open_packet {
	uint64_t direct_ns; /* from a CYC directly before it, else PTF_NO_TIME */
	uint64_t loose_ns;  /* of timing packets behind it, else PTF_NO_TIME */
	bool cyc_before;    /* a CYC packet was the last timing packet */
};

/* The last instruction of a block, whose target is not told yet. */
struct ptf_transfer {
	enum ptf_insn_class insn_class; /* PTF_INSN_NONE: none is open */
	uint64_t ip;                    /* of the instruction; stays when it is told */
	bool by_tip;                    /* a TIP gave its target */
	enum ptf_exec_mode mode;
	const struct ptf_function *function; /* where the last branch led, NULL: none */
};

/* A call at which tracing stopped. */
struct ptf_untraced_call {
	bool open;
	uint64_t from, to; /* to: PTF_NO_IP unknown */
};

struct ptf_flow_teller {
	struct ptf_engine_input input;
	struct ptf_code_lookup lookup;
	struct ptf_flow_timer timer;
	struct ptf_clock clock;
	struct ptf_engine_counts counts;
	struct ptf_open_packet packet;
	struct ptf_transfer transfer;
	struct ptf_untraced_call untraced_call;
	struct ptf_psb_plus next_plus; /* the PSB+ that ends the segment */
	uint64_t last_branch;          /* instruction position behind the last traced branch */
	size_t span;                   /* current index in input.spans */
	bool tasks;                    /* the kernel's switches of tasks can be seen */
	uint64_t next_epoch_ns;        /* when the next span begins, if that is only another epoch
	                                * of the same thread's code; else PTF_NO_TIME */
	bool epoch_due;                /* it begins with the next block ... */
	uint64_t due_ns;               /* ... as do others up to this time */
	bool began_off;                /* tracing has been off since the segment began */
	bool done;                     /* the last item of the segment is told */
	uint64_t stopped_at;           /* see ptf_flow_engine_ops */
};

void ptf_flow_teller_release(struct ptf_flow_teller *t);

/* Begins a segment (the input is copied) and reads the PSB+ at its beginning into *plus. Tells
 * nothing yet. */
void ptf_flow_teller_begin(struct ptf_flow_teller *t, const struct ptf_clock_params *clock,
        const struct ptf_engine_input *input, struct ptf_psb_plus *plus);

/* Tells the thread and where the segment begins. The clock has seen the PSB+. */
int ptf_flow_teller_sync(struct ptf_flow_teller *t, const struct ptf_psb_plus *plus);

/* The code that runs now, NULL when none is known. */
static inline const struct ptf_code_epoch *ptf_flow_teller_code(const struct ptf_flow_teller *t)
{
	return t->input.spans[t->span].code;
}

/* Before a block: moves on to the next span if that is another epoch of the same thread's code
 * whose time the last TNT or TIP had reached; true when it did. */
bool ptf_flow_teller_follow_epoch(struct ptf_flow_teller *t);

/* What is at ip in that code; NULL when none is known. Valid until the next look-up. */
struct ptf_code_place *ptf_flow_teller_place(struct ptf_flow_teller *t, uint64_t ip, bool target);

/* An item with these ends and nothing else. */
static inline struct ptf_flow_item ptf_flow_item_make(
        enum ptf_flow_kind kind, uint64_t from, uint64_t to)
{
	return (struct ptf_flow_item){.kind = kind, .from = from, .to = to, .time_ns = PTF_NO_TIME};
}

/* Fills in the function at item->to; target: a call went there. */
void ptf_flow_teller_resolve_to(struct ptf_flow_teller *t, struct ptf_flow_item *item, bool target);

/* The item of a transfer to `to` (PTF_NO_IP: not known); false: there is nothing to tell. */
bool ptf_flow_teller_item(struct ptf_flow_teller *t, const struct ptf_transfer *transfer,
        uint64_t to, struct ptf_flow_item *item);

/* Tells the open transfer, if any, which went to `to`. */
int ptf_flow_teller_tell(struct ptf_flow_teller *t, uint64_t to);

/* Is this the kernel's switch to the next thread of the stream? */
static inline bool ptf_flow_teller_is_switch(
        const struct ptf_flow_teller *t, const struct ptf_flow_item *item)
{
	return t->tasks && item->to_function && !item->mid_entry &&
	       item->to_function->role == PTF_ROLE_SWITCHES_TASK;
}

/* Behind its item: goes to that thread, whose items follow (ip: where the transfer went); nothing
 * happens when no record tells of it, which `due` asks. */
bool ptf_flow_teller_switch_due(const struct ptf_flow_teller *t);
int ptf_flow_teller_switch(struct ptf_flow_teller *t, uint64_t ip);

/* ---- packets ---- */

/* A timing packet, or any other that does not matter. */
static inline void ptf_flow_teller_timing(
        struct ptf_flow_teller *t, const struct ptf_packet *packet)
{
	if (!ptf_clock_packet(&t->clock, packet))
		return;
	t->packet.cyc_before = packet->kind == PTF_PACKET_CYC;
	if (!t->packet.cyc_before)
		t->packet.loose_ns = ptf_clock_ns(&t->clock);
}

/* Does a FUP that comes next belong to this packet, and not to a TIP or TIP.PGD behind it? bound:
 * the answer for the packet before. */
bool ptf_flow_teller_binds_fup(const struct ptf_packet *packet, bool bound);

/* The last branch of the open packet is known. An MTC or TSC packet behind the open packet gives a
 * time that lies somewhere among the next packet's branches: better than nothing, but not beside a
 * CYC, which times that packet exactly. */
static inline void ptf_flow_teller_close_packet(struct ptf_flow_teller *t)
{
	if (t->packet.cyc_before)
		t->packet.loose_ns = PTF_NO_TIME;
	ptf_flow_timer_anchor(&t->timer, t->last_branch, t->packet.direct_ns);
	ptf_flow_timer_anchor(&t->timer, t->last_branch, t->packet.loose_ns);
	t->packet.direct_ns = t->packet.loose_ns = PTF_NO_TIME;
}

/* Does another epoch of the same thread's code begin with the TNT or TIP that comes? */
static inline bool ptf_flow_teller_epoch_is_due(const struct ptf_flow_teller *t)
{
	uint64_t ns;

	if (t->next_epoch_ns == PTF_NO_TIME)
		return false;
	ns = ptf_clock_ns(&t->clock);
	return ns != PTF_NO_TIME && t->next_epoch_ns <= ns;
}

/* A TNT or TIP comes. */
static inline void ptf_flow_teller_open_packet(struct ptf_flow_teller *t)
{
	ptf_flow_teller_close_packet(t);
	if (t->packet.cyc_before)
		t->packet.direct_ns = ptf_clock_ns(&t->clock);
	t->packet.cyc_before = false;
	if (t->next_epoch_ns != PTF_NO_TIME) {
		t->epoch_due = ptf_flow_teller_epoch_is_due(t);
		t->due_ns = ptf_clock_ns(&t->clock);
	}
}

/* The branch that a TIP resolved has retired. */
static inline void ptf_flow_teller_tip_done(struct ptf_flow_teller *t)
{
	t->last_branch = t->timer.position;
	ptf_flow_timer_anchor(&t->timer, t->timer.position, t->packet.direct_ns);
	t->packet.direct_ns = PTF_NO_TIME;
}

/* ---- events; ns: time of their last packet; an open transfer went to where they are ---- */

/* Tracing stopped, at the open transfer (to: PTF_NO_IP unknown) or asynchronously in front of `at`.
 */
int ptf_flow_teller_disabled(struct ptf_flow_teller *t, uint64_t to, uint64_t ns);
int ptf_flow_teller_async_disabled(struct ptf_flow_teller *t, uint64_t at, uint64_t ns);

/* Tracing goes on at `to`; cause: NONE or OVERFLOW. May move to another span. */
int ptf_flow_teller_enabled(
        struct ptf_flow_teller *t, uint64_t to, enum ptf_flow_cause cause, uint64_t ns);

/* An asynchronous branch that is traced. */
int ptf_flow_teller_async_branch(
        struct ptf_flow_teller *t, uint64_t from, uint64_t to, uint64_t ns);

/* Packets were lost; enabled follows if tracing is on behind it. */
int ptf_flow_teller_overflow(struct ptf_flow_teller *t);

/* The engine cannot go on at ip, with the packets from `offset` on; code: libipt's error code, > 0.
 * The segment is done. */
int ptf_flow_teller_give_up(struct ptf_flow_teller *t, int code, uint64_t ip, uint64_t offset);

/* All packets are read. The segment is done. */
int ptf_flow_teller_end(struct ptf_flow_teller *t);

#endif
