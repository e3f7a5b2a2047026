/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast engine: packets lead through code blocks that are decoded once.
 *
 * It goes from packet to packet, where libipt goes from branch to branch and asks for packets; that
 * both tell the same items, to the nanosecond, is what their tests check. What is told does not
 * depend on how the blocks are cached.
 */
#include <intel-pt.h>
#include <stdlib.h>
#include <string.h>

#include "pt/fast_engine.h"

/* ---- life ---- */

static int share(void **out, const struct ptf_engine_config *config, struct ptf_error *err)
{
	(void)err;
	*out = (void *)(uintptr_t)config;
	return 0;
}

static void unshare(void *shared)
{
	(void)shared;
}

static struct ptf_flow_engine *engine_create(void *shared)
{
	struct ptf_flow_engine *e = calloc(1, sizeof(*e));

	if (e)
		e->config = shared;
	return e;
}

static void engine_destroy(struct ptf_flow_engine *e)
{
	if (!e)
		return;
	ptf_flow_teller_release(&e->t);
	ptf_run_memo_release(&e->memo);
	ptf_block_cache_release(&e->blocks);
	free(e);
}

/* ---- helpers ---- */

static bool tracing(const struct ptf_flow_engine *e)
{
	return e->at != NULL;
}

static uint64_t now(const struct ptf_flow_engine *e)
{
	return ptf_clock_ns(&e->t.clock);
}

static int give_up(struct ptf_flow_engine *e, int code)
{
	ptf_fast_reopen(e);
	return ptf_fast_give_up(e, code, e->t.transfer.ip, ptf_fast_read_ahead(e));
}

static int end_segment(struct ptf_flow_engine *e)
{
	int rc = 0;

	if (e->tnt_n)
		rc = ptf_fast_stop_at_branch(e);
	ptf_fast_reopen(e);
	return rc < 0 ? rc : ptf_flow_teller_end(&e->t);
}

static int decode(const struct ptf_flow_engine *e, uint64_t at, enum ptf_packet_block *block,
        struct ptf_packet *packet)
{
	return ptf_packet_decode_block(e->bytes + at, (size_t)(e->size - at), block, packet);
}

static bool matters_for_flow(enum ptf_packet_kind kind)
{
	switch (kind) {
	case PTF_PACKET_PAD:
	case PTF_PACKET_TSC:
	case PTF_PACKET_TMA:
	case PTF_PACKET_MTC:
	case PTF_PACKET_CYC:
	case PTF_PACKET_FUP:
		return false;
	default:
		return true;
	}
}

uint64_t ptf_fast_read_ahead(const struct ptf_flow_engine *e)
{
	enum ptf_packet_block block = e->block;
	struct ptf_packet packet;
	uint64_t at = e->pos;

	while (at < e->size) {
		int n = decode(e, at, &block, &packet);

		if (n <= 0 || matters_for_flow(packet.kind))
			break;
		at += (uint64_t)n;
	}
	return at;
}

uint64_t ptf_fast_take_timing(struct ptf_flow_engine *e)
{
	uint64_t end = ptf_fast_read_ahead(e);
	struct ptf_packet packet;

	while (e->pos < end) {
		int n = decode(e, e->pos, &e->block, &packet);

		if (packet.kind == PTF_PACKET_FUP)
			break;
		ptf_flow_teller_timing(&e->t, &packet);
		e->pos += (uint64_t)n;
	}
	return end;
}

/* ---- branches ---- */

static int take_tnt(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	if (!tracing(e))
		return ptf_fast_give_up(e, pte_no_enable, e->off_ip, e->packet_at);
	if (e->tnt_n)
		return ptf_fast_fail(e, pte_bad_query);
	e->fresh = true;
	e->tnt = packet->payload;
	e->tnt_n = packet->tnt_count;
	return ptf_fast_run_tnt(e);
}

/* A MODE.Exec takes effect with the TIP behind it. */
static int apply_mode(struct ptf_flow_engine *e)
{
	if (!e->mode_pending)
		return 0;
	e->mode_pending = false;
	return ptf_fast_set_mode(e, e->next_mode);
}

/* The walk to an event's place: PTF_WALK_DONE, or the segment is done. */
static int walk_to_fup(struct ptf_flow_engine *e, uint64_t ip, bool behind)
{
	struct ptf_block_search stop = {.ip = ip, .behind = behind};
	int walk;

	if (e->tnt_n) {
		walk = ptf_fast_fail(e, pte_bad_query);
		return walk < 0 ? walk : PTF_WALK_GAVE_UP;
	}
	walk = ptf_fast_walk_to(e, &stop);
	if (walk != PTF_WALK_NEEDS_TRACE)
		return walk;
	walk = give_up(e, pte_bad_query);
	return walk < 0 ? walk : PTF_WALK_GAVE_UP;
}

static int take_async_tip(struct ptf_flow_engine *e, uint64_t to)
{
	uint64_t from = e->fup_ip;
	int rc;

	e->fup_pending = false;
	if (!tracing(e))
		return give_up(e, pte_bad_context);
	rc = walk_to_fup(e, from, false);
	if (rc != PTF_WALK_DONE)
		return rc < 0 ? rc : 0;
	ptf_fast_reopen(e);
	rc = ptf_flow_teller_async_branch(&e->t, from, to, now(e));
	if (rc == 0)
		rc = ptf_fast_go_to(e, to);
	return rc < 0 ? rc : apply_mode(e);
}

static int take_tip(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	bool has_ip = ptf_last_ip_update(&e->last_ip, packet);
	int rc;

	if (e->fup_pending)
		return take_async_tip(e, has_ip ? e->last_ip.ip : 0);
	if (!tracing(e))
		return ptf_fast_give_up(e, pte_no_enable, e->off_ip, e->packet_at);
	e->fresh = true;
	rc = ptf_fast_take_tip(e, has_ip ? e->last_ip.ip : PTF_NO_IP);
	if (rc == 0 && !e->t.done)
		rc = apply_mode(e);
	return rc == 0 && !e->t.done ? ptf_fast_run_tnt(e) : rc;
}

/* ---- off and on ---- */

static void switch_off(struct ptf_flow_engine *e, uint64_t ip)
{
	e->at = NULL;
	e->prev = NULL;
	e->off_ip = ip;
	e->tnt_n = 0;
}

static int take_async_pgd(struct ptf_flow_engine *e)
{
	uint64_t at = e->fup_ip;
	int rc;

	e->fup_pending = false;
	rc = walk_to_fup(e, at, false);
	if (rc != PTF_WALK_DONE)
		return rc < 0 ? rc : 0;
	ptf_fast_reopen(e);
	switch_off(e, at);
	return ptf_flow_teller_async_disabled(&e->t, at, now(e));
}

/* Where libipt expects tracing to go on: behind a call. */
static uint64_t resume_ip(const struct ptf_code_block *b)
{
	return b->insn_class == PTF_INSN_CALL || b->insn_class == PTF_INSN_FAR_CALL ? b->next_ip
	                                                                            : 0;
}

/* Tracing stops at a branch to `to`, at the next branch that would need a packet, or at a change of
 * the address space. */
static int take_sync_pgd(struct ptf_flow_engine *e, uint64_t to)
{
	struct ptf_block_search stop = {.ip = to, .cr3 = to == PTF_NO_IP};
	int rc;

	if (e->tnt_n)
		return ptf_fast_fail(e, pte_bad_query);
	rc = ptf_fast_walk_to(e, &stop);
	if (rc < 0 || rc == PTF_WALK_GAVE_UP)
		return rc < 0 ? rc : 0;
	ptf_fast_reopen(e);
	if (rc == PTF_WALK_NEEDS_TRACE)
		switch_off(e, resume_ip(e->at));
	else
		switch_off(e, to == PTF_NO_IP ? e->t.transfer.ip : to);
	return ptf_flow_teller_disabled(&e->t, to, now(e));
}

static int take_pgd(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	bool has_ip = ptf_last_ip_update(&e->last_ip, packet);
	int rc;

	if (!tracing(e))
		return give_up(e, pte_bad_context);
	rc = e->fup_pending ? take_async_pgd(e)
	                    : take_sync_pgd(e, has_ip ? e->last_ip.ip : PTF_NO_IP);
	return rc == 0 && !e->t.done ? apply_mode(e) : rc;
}

static int take_pge(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	int rc;

	if (!ptf_last_ip_update(&e->last_ip, packet))
		return give_up(e, pte_bad_packet);
	if (tracing(e))
		return e->tnt_n ? ptf_fast_fail(e, pte_bad_query) : give_up(e, pte_bad_context);
	e->fup_pending = false;
	rc = ptf_flow_teller_enabled(&e->t, e->last_ip.ip, PTF_CAUSE_NONE, now(e));
	if (rc == 0)
		rc = apply_mode(e);
	return rc < 0 ? rc : ptf_fast_go_to(e, e->last_ip.ip);
}

/* ---- overflow ---- */

/* What stands between an OVF and the FUP that says where tracing goes on. */
static bool passes_after_ovf(enum ptf_packet_kind kind)
{
	switch (kind) {
	case PTF_PACKET_PAD:
	case PTF_PACKET_TSC:
	case PTF_PACKET_TMA:
	case PTF_PACKET_MTC:
	case PTF_PACKET_CYC:
	case PTF_PACKET_CBR:
	case PTF_PACKET_MNT:
	case PTF_PACKET_BBP:
	case PTF_PACKET_BIP:
	case PTF_PACKET_BEP:
	case PTF_PACKET_CFE:
	case PTF_PACKET_EVD:
		return true;
	default:
		return false;
	}
}

/* Is a FUP the next packet that matters? 1 yes, 0 no: tracing is off; else -libipt's error code: a
 * packet stands there that only comes while tracing is on. */
static int find_ovf_fup(const struct ptf_flow_engine *e)
{
	enum ptf_packet_block block = e->block;
	struct ptf_packet packet;
	uint64_t at = e->pos;

	for (;;) {
		int n = at < e->size ? decode(e, at, &block, &packet) : 0;

		if (n <= 0)
			return n < 0 ? -pte_bad_opc : 0;
		at += (uint64_t)n;
		switch (packet.kind) {
		case PTF_PACKET_FUP:
			return 1;
		case PTF_PACKET_TNT_8:
		case PTF_PACKET_TNT_64:
		case PTF_PACKET_TIP:
		case PTF_PACKET_TIP_PGD:
		case PTF_PACKET_PSBEND:
			return -pte_bad_context;
		default:
			if (!passes_after_ovf(packet.kind))
				return 0;
		}
	}
}

/* Tracing goes on at the FUP behind an OVF. */
static int resume_after_ovf(struct ptf_flow_engine *e)
{
	struct ptf_packet packet;
	int rc;

	do {
		e->pos += (uint64_t)decode(e, e->pos, &e->block, &packet);
		ptf_clock_packet(&e->t.clock, &packet);
	} while (packet.kind != PTF_PACKET_FUP);
	if (!ptf_last_ip_update(&e->last_ip, &packet))
		return give_up(e, pte_ip_suppressed);
	rc = ptf_flow_teller_enabled(&e->t, e->last_ip.ip, PTF_CAUSE_OVERFLOW, PTF_NO_TIME);
	return rc < 0 ? rc : ptf_fast_go_to(e, e->last_ip.ip);
}

static int take_ovf(struct ptf_flow_engine *e)
{
	int fup, rc;

	if (e->tnt_n)
		return ptf_fast_fail(e, pte_bad_query);
	fup = find_ovf_fup(e);
	if (fup < 0) {
		ptf_fast_reopen(e);
		return ptf_fast_give_up(e, -fup, e->t.transfer.ip, e->pos);
	}
	ptf_fast_reopen(e);
	switch_off(e, 0);
	e->last_ip.ip = 0;
	e->mode_pending = e->fup_pending = false;
	e->fup_owner.kind = PTF_PACKET_PAD;
	rc = ptf_flow_teller_overflow(&e->t);
	return rc < 0 || !fup ? rc : resume_after_ovf(e);
}

/* ---- packets that only tell ---- */

/* Runs up to where the event of e->fup_owner is, which its FUP gives; over a PTWRITE. */
static int take_owned_fup(struct ptf_flow_engine *e, bool has_ip)
{
	struct ptf_packet owner = e->fup_owner;
	int rc;

	e->fup_owner.kind = PTF_PACKET_PAD;
	if (!has_ip || !tracing(e) || owner.kind == PTF_PACKET_BEP)
		return 0;
	rc = walk_to_fup(e, e->last_ip.ip, owner.kind == PTF_PACKET_PTW);
	if (rc < 0 || rc == PTF_WALK_GAVE_UP)
		return rc < 0 ? rc : 0;
	if (owner.kind == PTF_PACKET_MODE_TSX && owner.flags & 2) {
		e->fup_pending = true;
		e->fup_ip = e->last_ip.ip;
	}
	return 0;
}

static int take_fup(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	bool has_ip = ptf_last_ip_update(&e->last_ip, packet);

	if (e->fup_owner.kind != PTF_PACKET_PAD)
		return take_owned_fup(e, has_ip);
	if (!has_ip)
		return give_up(e, pte_ip_suppressed);
	e->fup_pending = true;
	e->fup_ip = e->last_ip.ip;
	return 0;
}

/* A PTWRITE that does not say where it was: it is the next one. */
static int take_ptwrite(struct ptf_flow_engine *e)
{
	struct ptf_block_search stop = {.ip = PTF_NO_IP, .ptwrite = true};
	int rc;

	if (!tracing(e))
		return 0;
	if (e->tnt_n)
		return ptf_fast_fail(e, pte_bad_query);
	rc = ptf_fast_walk_to(e, &stop);
	if (rc == PTF_WALK_NEEDS_TRACE)
		return give_up(e, pte_bad_query);
	return rc < 0 ? rc : 0;
}

/* ---- PSB+ ---- */

/* What a PSB+ says beside its time. */
struct psb_header {
	bool whole;    /* its end was read */
	bool bad;      /* a packet is in it that cannot be there */
	bool has_mode; /* a MODE.Exec */
	bool located;  /* something that is told of the place of the FUP */
	bool has_ip;   /* a FUP */
	enum ptf_exec_mode mode;
};

static bool take_header_packet(
        struct ptf_flow_engine *e, const struct ptf_packet *packet, struct psb_header *header)
{
	switch (packet->kind) {
	case PTF_PACKET_FUP:
		if (ptf_last_ip_update(&e->last_ip, packet))
			header->has_ip = true;
		return true;
	case PTF_PACKET_MODE_EXEC:
		header->has_mode = true;
		header->mode = ptf_exec_mode_of(packet->flags);
		header->located = true;
		return true;
	case PTF_PACKET_MODE_TSX:
	case PTF_PACKET_PIP:
	case PTF_PACKET_VMCS:
		header->located = true;
		return true;
	case PTF_PACKET_TNT_8:
	case PTF_PACKET_TNT_64:
	case PTF_PACKET_TIP:
	case PTF_PACKET_TIP_PGE:
	case PTF_PACKET_TIP_PGD:
	case PTF_PACKET_TRACE_STOP:
	case PTF_PACKET_PSB:
	case PTF_PACKET_PTW:
	case PTF_PACKET_EXSTOP:
	case PTF_PACKET_MWAIT:
	case PTF_PACKET_PWRE:
	case PTF_PACKET_PWRX:
		return false;
	default:
		return true;
	}
}

/* Reads a PSB+ from behind its PSB; stale_fup: offset of a FUP to leave out, 0: none. The clock
 * takes its packets only when it starts a segment: a later one restarts time. */
static void read_psb_plus(
        struct ptf_flow_engine *e, uint64_t stale_fup, bool first, struct psb_header *header)
{
	struct ptf_packet packet;

	*header = (struct psb_header){0};
	e->last_ip.ip = 0;
	e->block = PTF_BLOCK_NONE;
	while (e->pos < e->size) {
		int n = decode(e, e->pos, &e->block, &packet);

		header->bad = n < 0;
		if (n <= 0)
			return;
		if (packet.kind == PTF_PACKET_OVF) {
			header->whole = true;
			return;
		}
		if (first)
			ptf_clock_packet(&e->t.clock, &packet);
		if ((!stale_fup || e->pos != stale_fup) &&
		        !take_header_packet(e, &packet, header)) {
			header->bad = true;
			return;
		}
		e->pos += (uint64_t)n;
		if (packet.kind == PTF_PACKET_PSBEND) {
			header->whole = true;
			return;
		}
	}
}

/* A PSB+ in a running trace: code between the last packet and its FUP has run. */
static int take_psb(struct ptf_flow_engine *e)
{
	struct ptf_block_search stop;
	struct psb_header header;
	int rc;

	read_psb_plus(e, 0, false, &header);
	if (header.bad)
		return give_up(e, pte_bad_context);
	if (!header.whole) {
		e->pos = e->size;
		return 0;
	}
	if (tracing(e) && header.located && header.has_ip) {
		if (e->tnt_n)
			return ptf_fast_fail(e, pte_bad_query);
		stop = (struct ptf_block_search){.ip = e->last_ip.ip};
		rc = ptf_fast_walk_to(e, &stop);
		if (rc < 0 || rc == PTF_WALK_GAVE_UP)
			return rc < 0 ? rc : 0;
		if (rc == PTF_WALK_NEEDS_TRACE)
			return ptf_flow_teller_end(&e->t);
	}
	if (!header.has_mode)
		return 0;
	if (tracing(e) && e->mode != PTF_MODE_UNKNOWN && e->mode != header.mode)
		return give_up(e, pte_bad_status_update);
	return ptf_fast_set_mode(e, header.mode);
}

/* ---- a segment ---- */

/* Blocks kept from segment to segment: more than the largest programs run through. Bytes that are
 * no trace could lead anywhere. */
enum { MAX_BLOCKS = 1 << 20 };

static void bound_memory(struct ptf_flow_engine *e)
{
	if (e->blocks.n <= MAX_BLOCKS)
		return;
	ptf_run_memo_release(&e->memo);
	ptf_block_cache_release(&e->blocks);
}

static int engine_begin(struct ptf_flow_engine *e, const struct ptf_engine_input *input)
{
	struct psb_header header;
	struct ptf_psb_plus plus;
	int rc;

	bound_memory(e);
	ptf_flow_teller_begin(&e->t, &e->config->clock, input, &plus);
	e->bytes = input->bytes;
	e->size = input->size;
	e->pos = 16;
	e->stack.top = e->stack.bottom = 0;
	e->mode_pending = e->fup_pending = false;
	e->fup_owner.kind = PTF_PACKET_PAD;
	e->mode = PTF_MODE_UNKNOWN;
	e->idle_blocks = 0;
	switch_off(e, 0);
	read_psb_plus(e, plus.stale_fup, true, &header);
	rc = ptf_flow_teller_sync(&e->t, &plus);
	if (rc < 0)
		return rc;
	if (header.bad)
		return ptf_fast_give_up(e, pte_bad_context, plus.ip, 0);
	if (!header.whole)
		return ptf_flow_teller_end(&e->t);
	e->mode = header.mode;
	return plus.ip == PTF_NO_IP ? 0 : ptf_fast_go_to(e, plus.ip);
}

static int take_packet(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	switch (packet->kind) {
	case PTF_PACKET_TNT_8:
	case PTF_PACKET_TNT_64:
		return take_tnt(e, packet);
	case PTF_PACKET_TIP:
		return take_tip(e, packet);
	case PTF_PACKET_TIP_PGD:
		return take_pgd(e, packet);
	case PTF_PACKET_TIP_PGE:
		return take_pge(e, packet);
	case PTF_PACKET_FUP:
		return take_fup(e, packet);
	case PTF_PACKET_OVF:
		return take_ovf(e);
	case PTF_PACKET_PSB:
		return take_psb(e);
	case PTF_PACKET_MODE_EXEC:
		e->mode_pending = true;
		e->next_mode = ptf_exec_mode_of(packet->flags);
		return 0;
	case PTF_PACKET_TRACE_STOP:
		return tracing(e) ? give_up(e, pte_bad_context) : 0;
	case PTF_PACKET_MODE_TSX:
		if (tracing(e))
			e->fup_owner = *packet;
		return 0;
	case PTF_PACKET_MWAIT:
		e->fup_owner = *packet;
		return 0;
	case PTF_PACKET_EXSTOP:
	case PTF_PACKET_BEP:
		if (packet->flags & 1)
			e->fup_owner = *packet;
		return 0;
	case PTF_PACKET_PTW:
		if (!(packet->flags & 1))
			return take_ptwrite(e);
		e->fup_owner = *packet;
		return 0;
	default:
		if (e->fup_pending)
			ptf_clock_packet(&e->t.clock, packet);
		else
			ptf_flow_teller_timing(&e->t, packet);
		return 0;
	}
}

/* Any packet. */
static int step(struct ptf_flow_engine *e)
{
	struct ptf_packet packet;
	int n = e->pos < e->size ? decode(e, e->pos, &e->block, &packet) : 0;

	if (n < 0)
		return give_up(e, pte_bad_opc);
	if (n == 0)
		return end_segment(e);
	e->packet_at = e->pos;
	e->fresh = false;
	e->pos += (uint64_t)n;
	return take_packet(e, &packet);
}

enum {
	ROOM = 16,         /* more bytes than a common packet has */
	ENOUGH_ITEMS = 64, /* that are ready, before the reader gets them */
	MAX_RUN_BITS = 24, /* of TNT-8 packets that are one run: more bits are rarely seen again */
};

/* A CYC of up to 8 bytes; returns its size, 0: it is longer. */
static inline unsigned scan_cyc(const uint8_t *at, uint64_t *cycles)
{
	unsigned size = 1, shift = 5;

	*cycles = at[0] >> 3;
	if (!(at[0] & 4))
		return 1;
	do {
		*cycles |= (uint64_t)(at[size] >> 1) << shift;
		shift += 7;
	} while (at[size++] & 1 && size < 8);
	return at[size - 1] & 1 ? 0 : size;
}

static inline bool is_tnt8(unsigned byte)
{
	return !(byte & 1) && byte > 2;
}

/* A TNT-8, and those behind it as far as they are one run. */
static inline struct ptf_tnt_run scan_tnt(const struct ptf_flow_engine *e, const uint8_t *at)
{
	unsigned n = ptf_fast_tnt8_bits(at[0]);
	struct ptf_tnt_run tnt = {.bits = (at[0] >> 1) & ((1u << n) - 1), .n = n, .size = 1};

	if (e->t.packet.cyc_before || e->t.packet.loose_ns != PTF_NO_TIME)
		return tnt;
	while (tnt.n <= MAX_RUN_BITS - 6 && tnt.size < ROOM && is_tnt8(at[tnt.size])) {
		unsigned byte = at[tnt.size++];

		n = ptf_fast_tnt8_bits(byte);
		tnt.bits = tnt.bits << n | ((byte >> 1) & ((1u << n) - 1));
		tnt.n += n;
	}
	return tnt;
}

/* The IP of a TIP of the sizes 2, 4 and 6 bytes; returns the packet's size, 0: another. */
static inline unsigned scan_tip(const uint8_t *at, struct ptf_last_ip *last)
{
	uint64_t bytes;

	memcpy(&bytes, at + 1, sizeof(bytes));
	switch (at[0] >> 5) {
	case 1:
		last->ip = (last->ip & ~0xffffull) | (bytes & 0xffff);
		return 3;
	case 2:
		last->ip = (last->ip & ~0xffffffffull) | (bytes & 0xffffffff);
		return 5;
	case 3:
		last->ip = (uint64_t)((int64_t)(bytes << 16) >> 16);
		return 7;
	default:
		return 0;
	}
}

/* Nothing is under way that makes a packet mean something else than usual. */
static bool is_plain(const struct ptf_flow_engine *e)
{
	return tracing(e) && !e->fup_pending && !e->mode_pending && !e->tnt_n &&
	       e->block == PTF_BLOCK_NONE;
}

/* The packet at e->pos, when it is a common one: its size, 0: it is not, or negative error. */
static inline int scan_common(struct ptf_flow_engine *e)
{
	const uint8_t *at = e->bytes + e->pos;
	unsigned byte = at[0], size;
	uint64_t cycles;

	e->packet_at = e->pos;
	if ((byte & 3) == 3) {
		size = scan_cyc(at, &cycles);
		if (size && ptf_clock_cyc(&e->t.clock, cycles))
			e->t.packet.cyc_before = true;
		e->pos += size;
		return (int)size;
	}
	if (is_tnt8(byte)) {
		struct ptf_tnt_run tnt = scan_tnt(e, at);

		return ptf_fast_take_tnt(e, &tnt) < 0 ? -PTF_ENOMEM : 1;
	}
	if ((byte & 0x1f) == 0x0d) {
		size = scan_tip(at, &e->last_ip);
		if (!size)
			return 0;
		e->pos += size;
		e->fresh = true;
		return ptf_fast_take_tip(e, e->last_ip.ip) < 0 ? -PTF_ENOMEM : (int)size;
	}
	e->pos += byte == 0;
	return byte == 0;
}

/* The common packets, as long as there are no others and not enough items. */
static int run_common(struct ptf_flow_engine *e)
{
	const struct ptf_flow_timer *timer = &e->t.timer;

	while (e->size - e->pos > ROOM && is_plain(e) && !e->t.done &&
	        timer->ready - timer->head < ENOUGH_ITEMS) {
		int size = scan_common(e);

		if (size <= 0)
			return size;
	}
	return 0;
}

static int engine_next(struct ptf_flow_engine *e, const struct ptf_flow_item **item)
{
	while (!(*item = ptf_flow_timer_next(&e->t.timer))) {
		int rc;

		if (e->t.done)
			return 1;
		rc = run_common(e);
		if (rc == 0 && !e->t.done && e->t.timer.ready - e->t.timer.head < ENOUGH_ITEMS)
			rc = step(e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static uint64_t engine_stopped_at(const struct ptf_flow_engine *e)
{
	return e->t.stopped_at;
}

static const struct ptf_engine_counts *engine_counts(const struct ptf_flow_engine *e)
{
	return &e->t.counts;
}

const struct ptf_flow_engine_ops ptf_engine_fast = {
        .name = "fast",
        .share = share,
        .unshare = unshare,
        .create = engine_create,
        .destroy = engine_destroy,
        .begin = engine_begin,
        .next = engine_next,
        .counts = engine_counts,
        .stopped_at = engine_stopped_at,
};
