/* SPDX-License-Identifier: BSD-2-Clause */
#include <intel-pt.h>

#include "pt/fast_engine.h"

/* ---- transfers ---- */

static struct ptf_code_block *block_at(struct ptf_flow_engine *e, uint64_t ip)
{
	return ptf_block_cache_at(
	        &e->blocks, &e->t.lookup, ptf_flow_teller_code(&e->t), ip, e->mode, NULL);
}

/* The block at ip, into which block b runs on. */
static struct ptf_code_block *block_behind(
        struct ptf_flow_engine *e, const struct ptf_code_block *b, uint64_t ip)
{
	return ptf_block_cache_at(
	        &e->blocks, &e->t.lookup, ptf_flow_teller_code(&e->t), ip, e->mode, b->function);
}

int ptf_fast_go_to(struct ptf_flow_engine *e, uint64_t ip)
{
	e->at = block_at(e, ip);
	e->prev = NULL;
	return e->at ? 0 : -PTF_ENOMEM;
}

int ptf_fast_set_mode(struct ptf_flow_engine *e, enum ptf_exec_mode mode)
{
	if (mode == e->mode)
		return 0;
	e->mode = mode;
	if (!e->at)
		return 0;
	e->at = block_at(e, e->at->ip);
	return e->at ? 0 : -PTF_ENOMEM;
}

static struct ptf_transfer transfer_of(const struct ptf_code_block *b, bool by_tip)
{
	return (struct ptf_transfer){.insn_class = (enum ptf_insn_class)b->insn_class,
	        .ip = b->end_ip,
	        .by_tip = by_tip,
	        .mode = (enum ptf_exec_mode)b->mode,
	        .function = b->function};
}

void ptf_fast_reopen(struct ptf_flow_engine *e)
{
	if (!e->prev)
		return;
	if (e->prev_item)
		ptf_flow_timer_drop_last(&e->t.timer);
	e->t.transfer = transfer_of(e->prev, e->prev_by_tip);
	e->prev = NULL;
}

int ptf_fast_give_up(struct ptf_flow_engine *e, int code, uint64_t ip, uint64_t offset)
{
	ptf_fast_reopen(e);
	return ptf_flow_teller_give_up(&e->t, code, ip, offset);
}

/* What there is to tell of a direct transfer, kept with the blocks: *item is NULL for nothing. */
static bool keep_item(struct ptf_flow_engine *e, const struct ptf_code_block *b, uint64_t to,
        const struct ptf_flow_item **item)
{
	struct ptf_transfer transfer = transfer_of(b, false);
	struct ptf_flow_item told, *kept;

	*item = NULL;
	if (!ptf_flow_teller_item(&e->t, &transfer, to, &told))
		return true;
	kept = ptf_arena_alloc(&e->blocks.arena, sizeof(*kept));
	if (!kept)
		return false;
	*kept = told;
	*item = kept;
	return true;
}

static bool resolve_edge(struct ptf_flow_engine *e, struct ptf_code_block *b, unsigned which)
{
	struct ptf_block_edge *edge = &b->edges[which];
	uint64_t ip = which == PTF_EDGE_NEXT ? b->next_ip : b->target;

	if (!keep_item(e, b, ip, &edge->item))
		return false;
	edge->to = b->kind == PTF_BLOCK_NEXT ? block_behind(e, b, ip) : block_at(e, ip);
	return edge->to != NULL;
}

/* The kernel goes to the next thread, which no packet's run may leave out; what came before cannot
 * be taken back. */
static int switch_task(struct ptf_flow_engine *e)
{
	int rc;

	e->memo.recorder.on = false;
	if (!ptf_flow_teller_switch_due(&e->t))
		return 0;
	rc = ptf_flow_teller_switch(&e->t, e->at->ip);
	e->prev = NULL;
	e->t.transfer.insn_class = PTF_INSN_NONE;
	return rc < 0 ? rc : ptf_fast_go_to(e, e->at->ip);
}

/* Tells the transfer to `at`. */
static int tell_item(struct ptf_flow_engine *e, const struct ptf_flow_item *item)
{
	e->prev_item = item != NULL;
	if (!item)
		return 0;
	if (e->memo.recorder.on)
		ptf_run_record_item(&e->memo.recorder, item, e->t.timer.position);
	if (!ptf_flow_timer_add(&e->t.timer, item))
		return -PTF_ENOMEM;
	return ptf_flow_teller_is_switch(&e->t, item) ? switch_task(e) : 0;
}

static int follow_dynamic(struct ptf_flow_engine *e, struct ptf_code_block *b,
        struct ptf_code_block *to, bool by_tip);

/* Goes from block b, of another epoch, to ip. Edges are kept by blocks and stay inside of their
 * epoch. */
static int leave_epoch(
        struct ptf_flow_engine *e, struct ptf_code_block *b, uint64_t ip, bool by_tip)
{
	struct ptf_code_block *to = block_at(e, ip);

	return to ? follow_dynamic(e, b, to, by_tip) : -PTF_ENOMEM;
}

/* Goes along an edge of the block that just ran. */
static int follow(struct ptf_flow_engine *e, struct ptf_code_block *b, unsigned which)
{
	struct ptf_block_edge *edge = &b->edges[which];

	if (b->code != ptf_flow_teller_code(&e->t))
		return leave_epoch(e, b, which == PTF_EDGE_NEXT ? b->next_ip : b->target, false);
	if (!edge->to && !resolve_edge(e, b, which))
		return -PTF_ENOMEM;
	e->prev = b;
	e->prev_by_tip = false;
	e->at = edge->to;
	return tell_item(e, edge->item);
}

/* ---- the return stack ---- */

static void push_call(struct ptf_flow_engine *e, struct ptf_code_block *b)
{
	struct ptf_return_stack *stack = &e->stack;

	if (b->insn_class != PTF_INSN_CALL)
		return;
	/* A call to the next instruction only reads the instruction pointer. */
	if (b->kind == PTF_BLOCK_TARGET && b->target == b->next_ip)
		return;
	if (e->memo.recorder.on)
		ptf_run_record_push(&e->memo.recorder, b);
	stack->calls[stack->top++ % PTF_RETURN_STACK] = b;
	if (stack->top - stack->bottom > PTF_RETURN_STACK)
		stack->bottom++;
}

/* Goes from block b to block `to`, which the trace or the return stack gave. */
static int follow_dynamic(
        struct ptf_flow_engine *e, struct ptf_code_block *b, struct ptf_code_block *to, bool by_tip)
{
	struct ptf_dynamic_edge *edge = b->dynamic;

	if (!edge) {
		edge = b->dynamic = ptf_arena_alloc(&e->blocks.arena, sizeof(*edge));
		if (!edge)
			return -PTF_ENOMEM;
	}
	if (edge->to != to) {
		struct ptf_transfer transfer = transfer_of(b, by_tip);

		edge->to = to;
		edge->tells = ptf_flow_teller_item(&e->t, &transfer, to->ip, &edge->item);
	}
	e->prev = b;
	e->prev_by_tip = by_tip;
	e->at = to;
	return tell_item(e, edge->tells ? &edge->item : NULL);
}

/* The block behind a call; the code may have changed since. */
static struct ptf_code_block *block_after_call(
        struct ptf_flow_engine *e, struct ptf_code_block *call)
{
	struct ptf_block_edge *edge = &call->edges[PTF_EDGE_NEXT];

	if (call->code != ptf_flow_teller_code(&e->t) || call->mode != e->mode)
		return block_at(e, call->next_ip);
	if (!edge->to)
		edge->to = block_at(e, call->next_ip);
	return edge->to;
}

/* Goes back to behind the last call. */
static int follow_return(struct ptf_flow_engine *e, struct ptf_code_block *b)
{
	struct ptf_code_block *call = e->stack.calls[--e->stack.top % PTF_RETURN_STACK];
	struct ptf_code_block *to = block_after_call(e, call);

	if (e->memo.recorder.on)
		ptf_run_record_pop(&e->memo.recorder, call);
	return to ? follow_dynamic(e, b, to, false) : -PTF_ENOMEM;
}

/* ---- running blocks ---- */

/* The block's instructions have retired. */
static inline void retire(struct ptf_flow_engine *e, const struct ptf_code_block *b)
{
	ptf_flow_timer_retire(&e->t.timer, b->insns);
	e->t.counts.instructions += b->insns;
	e->t.counts.calls += b->insn_class == PTF_INSN_CALL;
	e->t.counts.returns += b->insn_class == PTF_INSN_RETURN;
}

/* The block ran, and where it went is not told. */
static void run_open(struct ptf_flow_engine *e, const struct ptf_code_block *b)
{
	retire(e, b);
	e->prev = NULL;
	e->t.transfer = transfer_of(b, false);
	if (b->insn_class == PTF_INSN_NONE || b->insn_class == PTF_INSN_PTWRITE)
		e->t.transfer.insn_class = PTF_INSN_OTHER;
	if (b->insn_class == PTF_INSN_COND_JUMP || b->insn_class == PTF_INSN_RETURN)
		e->t.last_branch = e->t.timer.position;
}

/* The block begins: what is open in the teller went here. */
static int enter(struct ptf_flow_engine *e, const struct ptf_code_block *b)
{
	if (!b->insns)
		return 0;
	e->t.began_off = false;
	return e->prev ? 0 : ptf_flow_teller_tell(&e->t, b->ip);
}

/* From which packet on the segment is lost. Timing packets before it still tell the time. */
static uint64_t lost_from(struct ptf_flow_engine *e)
{
	return e->fresh ? e->packet_at : ptf_fast_take_timing(e);
}

/* The packets do not fit the code at block b: it ran, and nobody knows where it went. */
static int fail(struct ptf_flow_engine *e, const struct ptf_code_block *b, int code)
{
	run_open(e, b);
	return ptf_fast_give_up(e, code, b->end_ip, lost_from(e));
}

static int fail_in_block(struct ptf_flow_engine *e, const struct ptf_code_block *b)
{
	if (b->insns)
		run_open(e, b);
	return ptf_fast_give_up(e, b->error, b->end_ip, lost_from(e));
}

/* Runs a block that needs no packet. */
static int run_direct(struct ptf_flow_engine *e, struct ptf_code_block *b)
{
	int rc;

	retire(e, b);
	push_call(e, b);
	rc = follow(e, b, b->kind == PTF_BLOCK_NEXT ? PTF_EDGE_NEXT : PTF_EDGE_TARGET);
	if (rc == 0 && ++e->idle_blocks > PTF_MAX_IDLE_BLOCKS)
		return ptf_fast_give_up(e, pte_bad_query, b->end_ip, lost_from(e));
	return rc;
}

static int run_return(struct ptf_flow_engine *e, struct ptf_code_block *b, bool taken)
{
	if (!taken || e->stack.top == e->stack.bottom)
		return fail(e, b, taken ? pte_retstack_empty : pte_bad_retcomp);
	retire(e, b);
	e->t.last_branch = e->t.timer.position;
	return follow_return(e, b);
}

static int run_cond(struct ptf_flow_engine *e, struct ptf_code_block *b, bool taken)
{
	retire(e, b);
	e->t.last_branch = e->t.timer.position;
	return follow(e, b, taken ? PTF_EDGE_TARGET : PTF_EDGE_NEXT);
}

int ptf_fast_fail(struct ptf_flow_engine *e, int code)
{
	int rc = enter(e, e->at);

	return rc < 0 ? rc : fail(e, e->at, code);
}

int ptf_fast_stop_at_branch(struct ptf_flow_engine *e)
{
	int rc = enter(e, e->at);

	run_open(e, e->at);
	return rc;
}

/* A branch takes a bit of the TNT: with the first one its time is known. */
static void use_packet(struct ptf_flow_engine *e)
{
	e->idle_blocks++;
	if (!e->fresh)
		return;
	ptf_flow_teller_open_packet(&e->t);
	ptf_flow_teller_follow_epoch(&e->t);
	e->idle_blocks = 0;
	e->fresh = false;
}

int ptf_fast_run_tnt(struct ptf_flow_engine *e)
{
	int rc = 0;

	while (e->tnt_n && rc == 0 && !e->t.done) {
		struct ptf_code_block *b = e->at;

		rc = enter(e, b);
		if (rc < 0)
			return rc;
		switch ((enum ptf_block_kind)b->kind) {
		case PTF_BLOCK_NEXT:
		case PTF_BLOCK_TARGET:
			rc = run_direct(e, b);
			break;
		case PTF_BLOCK_COND:
			use_packet(e);
			rc = run_cond(e, b, e->tnt >> --e->tnt_n & 1);
			break;
		case PTF_BLOCK_RETURN:
			use_packet(e);
			rc = run_return(e, b, e->tnt >> --e->tnt_n & 1);
			break;
		case PTF_BLOCK_TIP:
			/* Its TIP comes behind the bits of later branches. */
			use_packet(e);
			return 0;
		case PTF_BLOCK_ERROR:
			return fail_in_block(e, b);
		}
	}
	return rc;
}

/* The branch that ends block b went to ip, which a TIP said. */
static int run_indirect(struct ptf_flow_engine *e, struct ptf_code_block *b, uint64_t ip)
{
	struct ptf_code_block *to;

	retire(e, b);
	push_call(e, b);
	ptf_flow_teller_tip_done(&e->t);
	e->idle_blocks = 0;
	if (b->code != ptf_flow_teller_code(&e->t))
		return leave_epoch(e, b, ip, true);
	to = b->dynamic && b->dynamic->to->ip == ip ? b->dynamic->to : block_at(e, ip);
	return to ? follow_dynamic(e, b, to, true) : -PTF_ENOMEM;
}

static int run_tip(struct ptf_flow_engine *e, uint64_t ip)
{
	int rc = 0;

	while (rc == 0 && !e->t.done) {
		struct ptf_code_block *b = e->at;

		rc = enter(e, b);
		if (rc < 0)
			return rc;
		switch ((enum ptf_block_kind)b->kind) {
		case PTF_BLOCK_NEXT:
		case PTF_BLOCK_TARGET:
			rc = run_direct(e, b);
			break;
		case PTF_BLOCK_RETURN:
		case PTF_BLOCK_TIP:
			use_packet(e);
			return ip == PTF_NO_IP ? fail(e, b, pte_noip) : run_indirect(e, b, ip);
		case PTF_BLOCK_COND:
			return fail(e, b, pte_bad_query);
		case PTF_BLOCK_ERROR:
			return fail_in_block(e, b);
		}
	}
	return rc;
}

/* ---- runs that are known ---- */

/* Does the return stack hold what the run pops? */
static bool stack_fits(const struct ptf_return_stack *stack, const struct ptf_run *run)
{
	_Static_assert(2 * PTF_RUN_MAX_MOVES < PTF_RETURN_STACK,
	        "calls on the way do not push out what is popped later");
	if (stack->top - stack->bottom < run->n_pops)
		return false;
	for (unsigned i = 0; i < run->n_pops; i++) {
		if (stack->calls[(stack->top - 1 - i) % PTF_RETURN_STACK] != run->moves[i])
			return false;
	}
	return true;
}

static void move_stack(struct ptf_return_stack *stack, const struct ptf_run *run)
{
	uint64_t highest = stack->top + run->height;

	if (highest > stack->bottom + PTF_RETURN_STACK)
		stack->bottom = highest - PTF_RETURN_STACK;
	stack->top -= run->n_pops;
	for (unsigned i = 0; i < run->n_pushes; i++)
		stack->calls[stack->top++ % PTF_RETURN_STACK] = run->moves[run->n_pops + i];
}

static int tell_steps(struct ptf_flow_engine *e, const struct ptf_run *run, unsigned n)
{
	struct ptf_flow_timer *timer = &e->t.timer;
	uint64_t position = timer->position;

	timer->position = position + run->insns;
	for (unsigned i = 0; i < n; i++) {
		const struct ptf_run_step *step = &run->steps[i];

		if (!ptf_flow_timer_add_at(timer, &step->item, position + step->insns))
			return -PTF_ENOMEM;
	}
	return 0;
}

/* Does at once what the run does, but for the item of its last transfer. */
static int use_run(struct ptf_flow_engine *e, const struct ptf_run *run)
{
	unsigned n = run->n_steps - run->last_item;

	ptf_flow_teller_open_packet(&e->t);
	e->fresh = false;
	e->idle_blocks = run->blocks;
	e->t.counts.instructions += run->insns;
	e->t.counts.calls += run->calls;
	e->t.counts.returns += run->returns;
	move_stack(&e->stack, run);
	e->prev = run->last;
	e->prev_item = run->last_item;
	e->at = run->to;
	return tell_steps(e, run, n);
}

static int tell_last(struct ptf_flow_engine *e, const struct ptf_run *run)
{
	if (!run->last_item)
		return 0;
	return ptf_flow_timer_add(&e->t.timer, &run->steps[run->n_steps - 1].item) ? 0
	                                                                           : -PTF_ENOMEM;
}

/* Only where nothing is open and no bits wait can a run be looked up or recorded. */
static bool can_memo(const struct ptf_flow_engine *e)
{
	return e->prev && !e->t.began_off && !ptf_flow_teller_epoch_is_due(&e->t);
}

static void record(struct ptf_flow_engine *e, uint64_t key)
{
	ptf_run_memo_record(&e->memo, e->at, key, e->t.timer.position);
	e->memo.recorder.calls = e->t.counts.calls;
	e->memo.recorder.returns = e->t.counts.returns;
}

/* Keeps the run that was recorded, if it came to its end. */
static int keep(struct ptf_flow_engine *e, int rc, bool ended)
{
	struct ptf_run_recorder *recorder = &e->memo.recorder;
	struct ptf_run run = {.to = e->at, .last = e->prev, .last_item = e->prev_item};
	uint64_t insns = e->t.timer.position - recorder->position;
	uint64_t calls = e->t.counts.calls - recorder->calls;
	uint64_t returns = e->t.counts.returns - recorder->returns;

	if (rc < 0 || !ended || e->t.done || insns > UINT32_MAX || calls > UINT16_MAX ||
	        returns > UINT16_MAX || e->idle_blocks > UINT16_MAX)
		recorder->on = false;
	if (!recorder->on)
		return rc;
	run.insns = (uint32_t)insns;
	run.calls = (uint16_t)calls;
	run.returns = (uint16_t)returns;
	run.blocks = (uint16_t)e->idle_blocks;
	return ptf_run_memo_keep(&e->memo, &run) ? rc : -PTF_ENOMEM;
}

/* One packet after the other, from e->pos on. */
static int run_packets(struct ptf_flow_engine *e, const struct ptf_tnt_run *tnt)
{
	uint64_t end = e->pos + tnt->size;
	unsigned left = tnt->n;
	int rc = 0;

	while (e->pos < end && rc == 0 && !e->t.done && !e->tnt_n) {
		unsigned n = tnt->size > 1 ? ptf_fast_tnt8_bits(e->bytes[e->pos]) : tnt->n;

		e->packet_at = e->pos++;
		e->fresh = true;
		left -= n;
		e->tnt = tnt->bits >> left & ((1ull << n) - 1);
		e->tnt_n = n;
		rc = ptf_fast_run_tnt(e);
	}
	return rc;
}

int ptf_fast_take_tnt(struct ptf_flow_engine *e, const struct ptf_tnt_run *tnt)
{
	uint64_t key = ptf_run_tnt_key(tnt->bits, tnt->n), end = e->pos + tnt->size;
	const struct ptf_run *run;
	int rc;

	if (!can_memo(e))
		return run_packets(e, tnt);
	run = ptf_run_memo_find(&e->memo, e->at, key);
	if (run && stack_fits(&e->stack, run)) {
		e->pos = end;
		e->prev_by_tip = false;
		rc = use_run(e, run);
		e->t.last_branch = e->t.timer.position;
		return rc < 0 ? rc : tell_last(e, run);
	}
	record(e, key);
	rc = run_packets(e, tnt);
	return keep(e, rc, e->pos == end && e->tnt_n == 0);
}

int ptf_fast_take_tip(struct ptf_flow_engine *e, uint64_t ip)
{
	const struct ptf_run *run;
	int rc;

	if (!can_memo(e) || e->tnt_n || ip >> 63)
		return run_tip(e, ip);
	run = ptf_run_memo_find(&e->memo, e->at, ip);
	if (run) {
		e->prev_by_tip = true;
		rc = use_run(e, run);
		ptf_flow_teller_tip_done(&e->t);
		return rc < 0 ? rc : tell_last(e, run);
	}
	record(e, ip);
	rc = run_tip(e, ip);
	return keep(e, rc, true);
}

/* ---- walking to an event ---- */

/* Runs the first instructions of a block, up to a place inside it. */
static int run_part(struct ptf_flow_engine *e, const struct ptf_code_block *b,
        const struct ptf_block_place *place)
{
	if (place->insns) {
		ptf_flow_timer_retire(&e->t.timer, place->insns);
		e->t.counts.instructions += place->insns;
		e->t.transfer = transfer_of(b, false);
		e->t.transfer.insn_class = PTF_INSN_OTHER;
		e->t.transfer.ip = place->last_ip;
		e->prev = NULL;
		e->at = block_behind(e, b, place->ip);
	}
	return e->at ? PTF_WALK_DONE : -PTF_ENOMEM;
}

/* Blocks without a place to stop at need not be decoded again. */
static bool may_hold(const struct ptf_code_block *b, const struct ptf_block_search *stop)
{
	return stop->ip != PTF_NO_IP || stop->ptwrite || (stop->cr3 && b->has_cr3);
}

int ptf_fast_walk_to(struct ptf_flow_engine *e, const struct ptf_block_search *stop)
{
	int rc = 0;

	while (rc == 0 && !e->t.done) {
		struct ptf_code_block *b = e->at;
		struct ptf_block_place place;

		if (b->ip == stop->ip && !stop->behind)
			return PTF_WALK_DONE;
		rc = enter(e, b);
		if (rc < 0)
			return rc;
		if (may_hold(b, stop) && ptf_code_block_find(b, stop, &place))
			return run_part(e, b, &place);
		switch ((enum ptf_block_kind)b->kind) {
		case PTF_BLOCK_NEXT:
		case PTF_BLOCK_TARGET:
			rc = run_direct(e, b);
			break;
		case PTF_BLOCK_ERROR:
			rc = fail_in_block(e, b);
			break;
		default:
			push_call(e, b);
			run_open(e, b);
			return PTF_WALK_NEEDS_TRACE;
		}
	}
	return rc < 0 ? rc : PTF_WALK_GAVE_UP;
}
