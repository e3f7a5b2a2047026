/* SPDX-License-Identifier: BSD-2-Clause */
#include <intel-pt.h>
#include <string.h>

#include "pt/flow_teller.h"
#include "pt/run_span.h"

/* Between a switch of tasks in the code and its record, ns. */
enum { SWITCH_SKEW_NS = 1000000 };

void ptf_flow_teller_release(struct ptf_flow_teller *t)
{
	ptf_flow_timer_release(&t->timer);
	ptf_engine_counts_release(&t->counts);
}

/* ---- code ---- */

/* Goes to a span; notes when the next one begins, if that is only another epoch of the same
 * thread's code. */
static void go_to_span(struct ptf_flow_teller *t, size_t span)
{
	const struct ptf_run_span *now = &t->input.spans[span];
	bool same =
	        span + 1 < t->input.n_spans && now[1].tid == now->tid && now[1].life == now->life;

	t->span = span;
	t->epoch_due = false;
	t->next_epoch_ns = same ? now[1].from_ns : PTF_NO_TIME;
}

bool ptf_flow_teller_follow_epoch(struct ptf_flow_teller *t)
{
	if (!t->epoch_due)
		return false;
	while (t->next_epoch_ns <= t->due_ns)
		go_to_span(t, t->span + 1);
	t->epoch_due = false;
	return true;
}

/* Moves on to the span of a time; true when it is another one. */
static bool seek_span(struct ptf_flow_teller *t, uint64_t ns)
{
	size_t before = t->span;

	if (ns != PTF_NO_TIME)
		go_to_span(t, ptf_run_spans_find(t->input.spans, t->input.n_spans, before, ns));
	return t->span != before;
}

struct ptf_code_place *ptf_flow_teller_place(struct ptf_flow_teller *t, uint64_t ip, bool target)
{
	const struct ptf_code_epoch *code = ptf_flow_teller_code(t);

	return code ? ptf_code_lookup_at(&t->lookup, code, ip, target) : NULL;
}

/* ---- items ---- */

static int add_item(struct ptf_flow_teller *t, struct ptf_flow_item item)
{
	return ptf_flow_timer_add(&t->timer, &item) ? 0 : -PTF_ENOMEM;
}

void ptf_flow_teller_resolve_to(struct ptf_flow_teller *t, struct ptf_flow_item *item, bool target)
{
	struct ptf_code_place *place =
	        item->to == PTF_NO_IP ? NULL : ptf_flow_teller_place(t, item->to, false);

	/* A call target is a function of its own only in code that nothing else covers. */
	if (place && target && !ptf_function_is_covered(place->function))
		place = ptf_flow_teller_place(t, item->to, true);
	if (!place)
		return;
	item->to_function = place->function;
	item->mid_entry = !place->entry;
}

static void make_call(
        struct ptf_flow_teller *t, const struct ptf_transfer *transfer, struct ptf_flow_item *item)
{
	const struct ptf_code_epoch *code = ptf_flow_teller_code(t);

	item->kind = PTF_FLOW_CALL;
	if (code)
		item->insn_size =
		        ptf_code_lookup_insn(&t->lookup, code, item->from, transfer->mode)->size;
	ptf_flow_teller_resolve_to(t, item, true);
}

bool ptf_flow_teller_item(struct ptf_flow_teller *t, const struct ptf_transfer *transfer,
        uint64_t to, struct ptf_flow_item *item)
{
	*item = ptf_flow_item_make(PTF_FLOW_JUMP, transfer->ip, to);
	item->from_function = transfer->function;
	/* Code that falls into the next function without a branch belongs to the first one. */
	if (transfer->insn_class == PTF_INSN_NONE || transfer->insn_class == PTF_INSN_OTHER)
		return false;
	if (transfer->insn_class == PTF_INSN_CALL) {
		make_call(t, transfer, item);
		return true;
	}
	ptf_flow_teller_resolve_to(t, item, false);
	switch (transfer->insn_class) {
	case PTF_INSN_RETURN:
		item->kind = PTF_FLOW_RETURN;
		return true;
	case PTF_INSN_FAR_CALL:
	case PTF_INSN_FAR_RETURN:
	case PTF_INSN_FAR_JUMP:
		item->kind = PTF_FLOW_ASYNC;
		item->cause = PTF_CAUSE_SYSCALL;
		return to != PTF_NO_IP;
	default:
		item->cause = transfer->by_tip ? PTF_CAUSE_INDIRECT : PTF_CAUSE_DIRECT;
		/* Back to the own entry: a loop, but a tail call when it went through a pointer. */
		return item->to_function && (item->to_function != transfer->function ||
		                                    (transfer->by_tip && !item->mid_entry));
	}
}

static int tell_thread(struct ptf_flow_teller *t)
{
	const struct ptf_run_span *span = &t->input.spans[t->span];
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_THREAD, PTF_NO_IP, PTF_NO_IP);

	item.pid = span->pid;
	item.code = span->tid;
	return add_item(t, item);
}

/* The span of the thread that a switch of tasks, just now, goes to; NULL when no record fits. The
 * record of a switch is written within a millisecond of it, and the clock may lag by as much where
 * timing packets are rare. */
static const struct ptf_run_span *switch_target(const struct ptf_flow_teller *t)
{
	const struct ptf_run_span *now = &t->input.spans[t->span];
	const struct ptf_run_span *end = t->input.spans + t->input.n_spans;
	uint64_t ns = ptf_clock_ns(&t->clock);

	for (const struct ptf_run_span *next = now + 1; ns != PTF_NO_TIME && next < end; next++) {
		if (next->from_ns > ns + SWITCH_SKEW_NS)
			break;
		if (next->tid != now->tid && next->from_ns + SWITCH_SKEW_NS >= ns)
			return next;
	}
	return NULL;
}

bool ptf_flow_teller_switch_due(const struct ptf_flow_teller *t)
{
	return switch_target(t);
}

int ptf_flow_teller_switch(struct ptf_flow_teller *t, uint64_t ip)
{
	const struct ptf_run_span *next = switch_target(t);
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_SYNC, PTF_NO_IP, ip);
	int rc;

	if (!next)
		return 0;
	go_to_span(t, (size_t)(next - t->input.spans));
	rc = tell_thread(t);
	ptf_flow_teller_resolve_to(t, &item, false);
	return rc < 0 ? rc : add_item(t, item);
}

int ptf_flow_teller_tell(struct ptf_flow_teller *t, uint64_t to)
{
	struct ptf_flow_item item;
	bool told = ptf_flow_teller_item(t, &t->transfer, to, &item);

	t->transfer.insn_class = PTF_INSN_NONE;
	if (!told)
		return 0;
	if (!ptf_flow_teller_is_switch(t, &item))
		return add_item(t, item);
	return add_item(t, item) < 0 ? -PTF_ENOMEM : ptf_flow_teller_switch(t, to);
}

/* ---- a segment ---- */

/* The segment goes on: what was given up is less, and its clock is known. */
static void resume(struct ptf_flow_teller *t, struct ptf_psb_plus *plus)
{
	t->counts.lost_bytes -= t->input.next_psb - t->input.resume->header_size;
	t->clock = t->input.resume->clock;
	plus->ns = ptf_clock_ns(&t->clock);
}

/* Behind which errors can a segment go on? Those for want of code; where it goes on, calls are not
 * known that returns are compressed against. */
static bool can_go_on(const struct ptf_flow_teller *t, int code)
{
	return code == pte_nomap ||
	       (t->input.resume && (code == pte_retstack_empty || code == pte_bad_retcomp ||
	                                   code == pte_bad_query));
}

void ptf_flow_teller_begin(struct ptf_flow_teller *t, const struct ptf_clock_params *clock,
        const struct ptf_engine_input *input, struct ptf_psb_plus *plus)
{
	t->input = *input;
	go_to_span(t, 0);
	t->tasks = input->n_spans > 1 && input->spans[0].code &&
	           ptf_code_images_kernel(input->spans[0].code->images);
	t->done = false;
	t->last_branch = 0;
	t->untraced_call.open = false;
	t->began_off = true;
	t->transfer = (struct ptf_transfer){.ip = PTF_NO_IP};
	t->packet = (struct ptf_open_packet){.direct_ns = PTF_NO_TIME, .loose_ns = PTF_NO_TIME};
	t->stopped_at = UINT64_MAX;
	ptf_clock_init(&t->clock, clock);
	ptf_flow_timer_begin(&t->timer, &t->counts.distances);
	ptf_psb_plus_read(plus, clock, input->bytes, input->size);
	ptf_psb_plus_read(&t->next_plus, clock, input->bytes + input->next_psb,
	        input->size - input->next_psb);
	if (input->resume)
		resume(t, plus);
	else
		t->counts.psbs++;
	seek_span(t, plus->ns);
}

int ptf_flow_teller_sync(struct ptf_flow_teller *t, const struct ptf_psb_plus *plus)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_SYNC, PTF_NO_IP, plus->ip);
	int rc = tell_thread(t);

	if (rc < 0)
		return rc;
	ptf_flow_teller_resolve_to(t, &item, false);
	rc = add_item(t, item);
	ptf_flow_timer_anchor(&t->timer, 0, plus->ns);
	return rc;
}

/* The MODE.Exec of the next PSB+ made the engine walk up to its FUP; of a PSB+ without one, the
 * code between the last packet and the FUP is missing. */
int ptf_flow_teller_end(struct ptf_flow_teller *t)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_END, PTF_NO_IP, PTF_NO_IP);
	int rc = ptf_flow_teller_tell(t, t->next_plus.ip);

	t->done = true;
	if (t->untraced_call.open)
		item.cause = PTF_CAUSE_BRANCH;
	ptf_flow_teller_close_packet(t);
	if (rc == 0)
		rc = add_item(t, item);
	ptf_flow_timer_anchor(&t->timer, t->timer.position, t->next_plus.ns);
	ptf_flow_timer_flush(&t->timer);
	return rc;
}

/* ---- packets ---- */

bool ptf_flow_teller_binds_fup(const struct ptf_packet *packet, bool bound)
{
	switch (packet->kind) {
	case PTF_PACKET_PTW:
	case PTF_PACKET_EXSTOP:
		return packet->flags & 1;
	case PTF_PACKET_MWAIT:
		return true;
	case PTF_PACKET_MODE_TSX:
		/* The FUP of an abort is that of its branch, too. */
		return !(packet->flags & 2);
	case PTF_PACKET_FUP:
	case PTF_PACKET_TNT_8:
	case PTF_PACKET_TNT_64:
	case PTF_PACKET_TIP:
	case PTF_PACKET_TIP_PGE:
	case PTF_PACKET_TIP_PGD:
	case PTF_PACKET_OVF:
		return false;
	default:
		return bound;
	}
}

/* ---- lost ---- */

static int lose(struct ptf_flow_teller *t, enum ptf_flow_cause cause, int code, uint64_t ip)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_LOST, ip, PTF_NO_IP);
	int rc;

	item.cause = cause;
	item.code = code;
	ptf_flow_teller_close_packet(t);
	ptf_flow_timer_flush(&t->timer);
	rc = add_item(t, item);
	/* Trusted up to the last anchor, not beyond; the next anchor begins a new count. */
	ptf_flow_timer_flush(&t->timer);
	t->timer.anchor_ns = PTF_NO_TIME;
	t->transfer.function = NULL;
	return rc;
}

int ptf_flow_teller_give_up(struct ptf_flow_teller *t, int code, uint64_t ip, uint64_t offset)
{
	bool no_code = code == pte_nomap;
	int rc;

	/* A transfer to where there is no code is told: that place is under the lost time then. */
	rc = ptf_flow_teller_tell(t, no_code && ip != t->transfer.ip ? ip : PTF_NO_IP);
	t->done = true;
	if (can_go_on(t, code))
		t->stopped_at = offset;
	t->counts.errors++;
	if (offset < t->input.next_psb)
		t->counts.lost_bytes += t->input.next_psb - offset;
	if (rc == 0 && no_code &&
	        !ptf_engine_counts_no_code(&t->counts, ptf_flow_teller_code(t), ip))
		rc = -PTF_ENOMEM;
	return rc < 0 ? rc : lose(t, PTF_CAUSE_ERROR, code, ip);
}

/* ---- events ---- */

static int take_off(struct ptf_flow_teller *t, enum ptf_flow_cause cause, uint64_t from,
        uint64_t to, uint64_t ns)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_OFF, from, to);
	int rc;

	t->packet.cyc_before = false;
	ptf_flow_teller_close_packet(t);
	item.cause = cause;
	item.from_function = t->transfer.function;
	rc = add_item(t, item);
	ptf_flow_timer_anchor(&t->timer, t->timer.position, ns);
	t->last_branch = t->timer.position;
	t->transfer.function = NULL;
	return rc;
}

/* A return whose target is not traced; with an address filter also a jump. */
static int tell_leaving(struct ptf_flow_teller *t, uint64_t to)
{
	enum ptf_insn_class insn_class = t->transfer.insn_class;
	struct ptf_flow_item item;
	bool told;

	if (insn_class != PTF_INSN_RETURN && (!t->input.filtered || insn_class == PTF_INSN_CALL ||
	                                             insn_class == PTF_INSN_FAR_CALL))
		return 0;
	told = ptf_flow_teller_item(t, &t->transfer, to, &item);
	if (t->input.filtered)
		item.cause = PTF_CAUSE_FILTER;
	return told ? add_item(t, item) : 0;
}

int ptf_flow_teller_disabled(struct ptf_flow_teller *t, uint64_t to, uint64_t ns)
{
	enum ptf_flow_cause cause = t->input.filtered ? PTF_CAUSE_FILTER : PTF_CAUSE_BRANCH;
	uint64_t from = t->transfer.ip;
	int rc;

	if (t->transfer.insn_class == PTF_INSN_FAR_CALL)
		cause = PTF_CAUSE_SYSCALL;
	if (t->transfer.insn_class == PTF_INSN_NONE)
		from = PTF_NO_IP;
	if (t->transfer.insn_class == PTF_INSN_CALL)
		t->untraced_call = (struct ptf_untraced_call){true, from, to};
	rc = tell_leaving(t, to);
	t->transfer.insn_class = PTF_INSN_NONE;
	return rc < 0 ? rc : take_off(t, cause, from, to, ns);
}

int ptf_flow_teller_async_disabled(struct ptf_flow_teller *t, uint64_t at, uint64_t ns)
{
	int rc = ptf_flow_teller_tell(t, at);

	return rc < 0 ? rc : take_off(t, PTF_CAUSE_ASYNC, at, PTF_NO_IP, ns);
}

/* A call whose target was not traced is counted, not pushed: for its target when that is known
 * code, else for the place where tracing goes on, as libipt's block decoder shows it. */
static int tell_untraced_call(struct ptf_flow_teller *t, uint64_t on)
{
	struct ptf_untraced_call call = t->untraced_call;
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_CALL, call.from, on);

	t->untraced_call.open = false;
	if (!call.open)
		return 0;
	item.cause = PTF_CAUSE_BRANCH;
	ptf_flow_teller_resolve_to(t, &item, true);
	if (!item.to_function || item.to_function->kind != PTF_FUNCTION_TARGET) {
		item.to = call.to;
		item.to_function = NULL;
		ptf_flow_teller_resolve_to(t, &item, true);
	}
	return item.to_function ? add_item(t, item) : 0;
}

/* Was the instruction before ip a system call? Then tracing goes on behind it. */
static bool behind_syscall(struct ptf_flow_teller *t, uint64_t ip)
{
	const struct ptf_code_epoch *code = ptf_flow_teller_code(t);
	uint8_t bytes[2];

	return code && ptf_code_epoch_read(code, ip - 2, bytes, 2) == 2 && bytes[0] == 0x0f &&
	       bytes[1] == 0x05;
}

/* Goes to the span of ns; tells when it is another thread's. */
static int follow_span(struct ptf_flow_teller *t, uint64_t ns)
{
	const struct ptf_run_span before = t->input.spans[t->span], *now;

	if (!seek_span(t, ns))
		return 0;
	now = &t->input.spans[t->span];
	return now->tid == before.tid && now->life == before.life ? 0 : tell_thread(t);
}

int ptf_flow_teller_enabled(
        struct ptf_flow_teller *t, uint64_t to, enum ptf_flow_cause cause, uint64_t ns)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_ON, PTF_NO_IP, to);
	/* After an overflow the clock still says when it began; that is what spans are fitted to.
	 */
	int rc = follow_span(t, cause == PTF_CAUSE_OVERFLOW ? ptf_clock_ns(&t->clock) : ns);

	if (rc < 0)
		return rc;
	rc = tell_untraced_call(t, to);
	if (rc < 0)
		return rc;
	item.cause = cause;
	if (cause == PTF_CAUSE_NONE && behind_syscall(t, to))
		item.cause = PTF_CAUSE_SYSCALL;
	/* Did a call of an earlier segment go here? Only the stitcher knows. */
	if (t->began_off)
		ptf_flow_teller_resolve_to(t, &item, true);
	if (item.to_function && item.to_function->kind == PTF_FUNCTION_TARGET)
		item.from_function = item.to_function;
	t->began_off = false;
	ptf_flow_teller_resolve_to(t, &item, false);
	t->transfer.insn_class = PTF_INSN_NONE;
	rc = add_item(t, item);
	if (cause != PTF_CAUSE_OVERFLOW)
		ptf_flow_timer_anchor(&t->timer, t->timer.position, ns);
	t->packet = (struct ptf_open_packet){.direct_ns = PTF_NO_TIME, .loose_ns = PTF_NO_TIME};
	t->last_branch = t->timer.position;
	return rc;
}

int ptf_flow_teller_overflow(struct ptf_flow_teller *t)
{
	int rc = ptf_flow_teller_tell(t, PTF_NO_IP);

	t->counts.overflows++;
	if (rc == 0)
		rc = lose(t, PTF_CAUSE_OVERFLOW, 0, t->transfer.ip);
	t->packet.cyc_before = false;
	return rc;
}

int ptf_flow_teller_async_branch(struct ptf_flow_teller *t, uint64_t from, uint64_t to, uint64_t ns)
{
	struct ptf_flow_item item = ptf_flow_item_make(PTF_FLOW_ASYNC, from, to);
	int rc = ptf_flow_teller_tell(t, from);

	if (rc < 0)
		return rc;
	t->packet.cyc_before = false;
	ptf_flow_teller_close_packet(t);
	item.cause = PTF_CAUSE_ASYNC;
	ptf_flow_teller_resolve_to(t, &item, false);
	rc = add_item(t, item);
	ptf_flow_timer_anchor(&t->timer, t->timer.position, ns);
	t->last_branch = t->timer.position;
	t->transfer.function = item.to_function;
	return rc;
}
