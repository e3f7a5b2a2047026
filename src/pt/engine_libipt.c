/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference engine: libipt's block decoder walks the code, our own packet scan beside it keeps
 * the time.
 *
 * libipt's own time is not used because both engines must agree to the nanosecond. The two run in
 * step by the decoder's offset: after each block the scan moves up to it. The decoder reads ahead
 * up to the next packet that matters for flow, but a packet of an event may be fetched before its
 * event is due; so for blocks the scan stops in front of such a packet, and the event, when it
 * comes, moves the scan over it.
 */
#include <intel-pt.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"
#include "pt/code_lookup.h"
#include "pt/flow_engine.h"

/* Sections that stay mapped, bytes: without a large limit they are unmapped on every switch between
 * modules and decoding falls to 50 kB/s. */
#define SECTION_CACHE_LIMIT (4ull << 30)

/* Blocks without a packet: real code takes a branch that needs one long before. */
enum { MAX_BLOCKS_WITHOUT_PACKET = 1 << 16 };

struct shared {
	const struct ptf_engine_config *config;
	struct pt_errata errata;
};

/* The packet that gave the last branches: its time is that of the last of them. */
struct open_packet {
	uint64_t direct_ns; /* from a CYC directly before it, else PTF_NO_TIME */
	uint64_t loose_ns;  /* of timing packets behind it, else PTF_NO_TIME */
	bool cyc_before;    /* a CYC packet was the last thing scanned */
	bool is_tip;        /* a TIP was opened by the scan after the current block */
};

/* A call at which tracing stopped. */
struct untraced_call {
	bool open;
	uint64_t from, to; /* to: PTF_NO_IP unknown */
};

struct ptf_flow_engine {
	struct shared *shared;
	/* Our own: libipt takes a section's lock for every block, and threads that share sections
	 * spend on these locks what they win (40 MB, two threads: 3.4 s shared, 2.7 s apart). */
	struct pt_image_section_cache *sections;
	struct ptf_engine_input input;
	struct pt_block_decoder *decoder;
	struct ptf_hash_map images; /* epoch id -> struct pt_image *, ours */
	struct ptf_code_lookup lookup;
	struct ptf_flow_timer timer;
	struct ptf_clock clock;
	struct ptf_engine_counts counts;
	struct open_packet packet;
	uint8_t *copy;                 /* owned: a segment that had to be changed, or NULL */
	uint64_t scanned;              /* bytes of the segment that the scan is past */
	uint64_t last_branch;          /* instruction position behind the last traced branch */
	struct ptf_psb_plus next_plus; /* the PSB+ that ends the segment */
	size_t span;                   /* current index in input.spans */
	int status;                    /* of the decoder */
	unsigned idle_blocks;          /* blocks since the decoder's offset moved */
	bool done;
	/* the last block, whose transfer is not told yet */
	enum pt_insn_class transfer; /* ptic_error: none is open */
	uint64_t transfer_ip;
	bool transfer_indirect; /* a TIP gave its target */
	bool code32;
	const struct ptf_function *function; /* of that block, NULL: none */
	struct untraced_call untraced_call;
	bool began_off; /* tracing has been off since the segment began */
};

static const struct ptf_code_epoch *code_now(const struct ptf_flow_engine *e)
{
	return e->input.spans[e->span].code;
}

/* ---- shared between workers ---- */

static int share(void **out, const struct ptf_engine_config *config, struct ptf_error *err)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	struct pt_cpu cpu = {.vendor = pcv_intel,
	        .family = config->cpu_family,
	        .model = config->cpu_model,
	        .stepping = config->cpu_stepping};

	if (!shared)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory");
	shared->config = config;
	if (config->cpu_family)
		pt_cpu_errata(&shared->errata, &cpu);
	*out = shared;
	return 0;
}

static void unshare(void *shared)
{
	free(shared);
}

static struct ptf_flow_engine *engine_create(void *shared)
{
	struct ptf_flow_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->shared = shared;
	e->sections = pt_iscache_alloc(NULL);
	if (!e->sections) {
		free(e);
		return NULL;
	}
	pt_iscache_set_limit(e->sections, SECTION_CACHE_LIMIT);
	return e;
}

static void engine_destroy(struct ptf_flow_engine *e)
{
	if (!e)
		return;
	pt_blk_free_decoder(e->decoder);
	for (size_t i = 0; i < e->images.cap; i++) {
		if (e->images.slots[i].used)
			pt_image_free((struct pt_image *)(uintptr_t)e->images.slots[i].value);
	}
	ptf_hash_map_release(&e->images);
	pt_iscache_free(e->sections);
	ptf_flow_timer_release(&e->timer);
	ptf_engine_counts_release(&e->counts);
	free(e->copy);
	free(e);
}

/* ---- code ---- */

static int read_code(
        uint8_t *buffer, size_t size, const struct pt_asid *asid, uint64_t ip, void *context)
{
	size_t got = ptf_code_epoch_read(context, ip, buffer, size);

	(void)asid;
	return got ? (int)got : -pte_nomap;
}

static int add_map(struct pt_image_section_cache *sections, struct pt_image *image,
        const struct ptf_code_map *map)
{
	int isid;

	if (ptf_module_open(map->module) < 0 || !map->module->disk_path)
		return 0; /* an error later, if the trace goes there */
	isid = pt_iscache_add_file(sections, map->module->disk_path, map->file_offset,
	        map->end - map->start, map->start);
	if (isid < 0)
		return isid == -pte_nomem ? isid : 0;
	return pt_image_add_cached(image, sections, isid, NULL);
}

static struct pt_image *make_image(
        struct pt_image_section_cache *sections, const struct ptf_code_epoch *code)
{
	struct pt_image *image = pt_image_alloc(NULL);

	if (!image)
		return NULL;
	for (size_t i = 0; i < code->n_maps; i++) {
		if (add_map(sections, image, &code->maps[i]) == -pte_nomem) {
			pt_image_free(image);
			return NULL;
		}
	}
	pt_image_set_callback(image, read_code, (void *)code);
	return image;
}

/* Makes the decoder read the current span's code. */
static int use_code(struct ptf_flow_engine *e)
{
	const struct ptf_code_epoch *code = code_now(e);
	uint64_t *image;

	if (!code)
		return 0;
	image = ptf_hash_map_at(&e->images, code->id, NULL);
	if (!image)
		return -PTF_ENOMEM;
	if (!*image)
		*image = (uintptr_t)make_image(e->sections, code);
	if (!*image)
		return -PTF_ENOMEM;
	pt_blk_set_image(e->decoder, (struct pt_image *)(uintptr_t)*image);
	return 0;
}

/* Moves on to the span of a time; true when it is another one. By bisection: each segment begins at
 * the first span, of which a busy CPU has one for each switch. */
static bool seek_span(struct ptf_flow_engine *e, uint64_t ns)
{
	size_t before = e->span, high = e->input.n_spans;

	if (ns == PTF_NO_TIME)
		return false;
	while (e->span + 1 < high) {
		size_t middle = e->span + (high - e->span) / 2;

		if (e->input.spans[middle].from_ns <= ns)
			e->span = middle;
		else
			high = middle;
	}
	return e->span != before;
}

static struct ptf_code_place *place_of(struct ptf_flow_engine *e, uint64_t ip, bool target)
{
	const struct ptf_code_epoch *code = code_now(e);

	return code ? ptf_code_lookup_at(&e->lookup, code, ip, target) : NULL;
}

/* ---- items ---- */

static int add_item(struct ptf_flow_engine *e, struct ptf_flow_item item)
{
	return ptf_flow_timer_add(&e->timer, item) ? 0 : -PTF_ENOMEM;
}

static struct ptf_flow_item make_item(enum ptf_flow_kind kind, uint64_t from, uint64_t to)
{
	return (struct ptf_flow_item){.kind = kind, .from = from, .to = to, .time_ns = PTF_NO_TIME};
}

/* Does a symbol, PLT stub or FDE say which function this is? */
static bool is_covered(const struct ptf_function *function)
{
	return function->kind == PTF_FUNCTION_SYMBOL || function->kind == PTF_FUNCTION_PLT ||
	       function->kind == PTF_FUNCTION_FDE;
}

/* Fills in the function at item->to. */
static void resolve_to(struct ptf_flow_engine *e, struct ptf_flow_item *item, bool target)
{
	struct ptf_code_place *place = item->to == PTF_NO_IP ? NULL : place_of(e, item->to, false);

	/* A call target is a function of its own only in code that nothing else covers. */
	if (place && target && !is_covered(place->function))
		place = place_of(e, item->to, true);
	if (!place)
		return;
	item->to_function = place->function;
	item->mid_entry = !place->entry;
}

static int add_call(struct ptf_flow_engine *e, uint64_t to)
{
	struct ptf_flow_item item = make_item(PTF_FLOW_CALL, e->transfer_ip, to);

	if (code_now(e))
		item.insn_size =
		        ptf_code_lookup_insn_size(&e->lookup, code_now(e), item.from, e->code32);
	item.from_function = e->function;
	resolve_to(e, &item, true);
	return add_item(e, item);
}

/* Tells the open transfer, which went to `to` (PTF_NO_IP: not known). */
static int tell_transfer(struct ptf_flow_engine *e, uint64_t to)
{
	enum pt_insn_class transfer = e->transfer;
	struct ptf_flow_item item = make_item(PTF_FLOW_JUMP, e->transfer_ip, to);

	e->transfer = ptic_error;
	if (transfer == ptic_error)
		return 0;
	if (transfer == ptic_call)
		return add_call(e, to);
	item.from_function = e->function;
	resolve_to(e, &item, false);
	switch (transfer) {
	case ptic_return:
		item.kind = PTF_FLOW_RETURN;
		return add_item(e, item);
	case ptic_far_call:
	case ptic_far_return:
	case ptic_far_jump:
		if (to == PTF_NO_IP)
			return 0;
		item.kind = PTF_FLOW_ASYNC;
		item.cause = PTF_CAUSE_SYSCALL;
		return add_item(e, item);
	default:
		/* Back to the own entry: a loop, but a tail call when it went through a pointer. */
		if (!item.to_function || (item.to_function == e->function &&
		                                 (!e->transfer_indirect || item.mid_entry)))
			return 0;
		return add_item(e, item);
	}
}

/* ---- the scan ---- */

/* The last branch of the open packet is known. An MTC or TSC packet behind it gives a time that
 * lies somewhere among the next packet's branches: better than nothing, but not beside a CYC, which
 * times that packet exactly. */
static void close_packet(struct ptf_flow_engine *e)
{
	if (e->packet.cyc_before)
		e->packet.loose_ns = PTF_NO_TIME;
	ptf_flow_timer_anchor(&e->timer, e->last_branch, e->packet.direct_ns);
	ptf_flow_timer_anchor(&e->timer, e->last_branch, e->packet.loose_ns);
	e->packet.direct_ns = e->packet.loose_ns = PTF_NO_TIME;
}

static void open_packet(struct ptf_flow_engine *e, bool is_tip)
{
	close_packet(e);
	if (e->packet.cyc_before)
		e->packet.direct_ns = ptf_clock_ns(&e->clock);
	e->packet.cyc_before = false;
	e->packet.is_tip = is_tip;
}

static void take_timing(struct ptf_flow_engine *e, const struct ptf_packet *packet)
{
	if (!ptf_clock_packet(&e->clock, packet))
		return;
	e->packet.cyc_before = packet->kind == PTF_PACKET_CYC;
	if (!e->packet.cyc_before)
		e->packet.loose_ns = ptf_clock_ns(&e->clock);
}

static bool is_event_packet(enum ptf_packet_kind kind)
{
	return kind == PTF_PACKET_FUP || kind == PTF_PACKET_TIP_PGE || kind == PTF_PACKET_TIP_PGD ||
	       kind == PTF_PACKET_OVF || kind == PTF_PACKET_PSB;
}

/* Moves the scan over the packets of the last block: up to `limit` or the next event's packet. */
static void scan_block(struct ptf_flow_engine *e, uint64_t limit)
{
	struct ptf_packet packet;

	while (e->scanned < limit) {
		int n = ptf_packet_decode(
		        e->input.bytes + e->scanned, e->input.size - e->scanned, &packet);

		if (n <= 0 || is_event_packet(packet.kind))
			return;
		e->scanned += (uint64_t)n;
		if (packet.kind == PTF_PACKET_TNT_8 || packet.kind == PTF_PACKET_TNT_64)
			open_packet(e, false);
		else if (packet.kind == PTF_PACKET_TIP)
			open_packet(e, true);
		else
			take_timing(e, &packet);
	}
}

/* Moves the scan over the next packet of a kind, not past `limit`; returns the time there. */
static uint64_t scan_event(struct ptf_flow_engine *e, enum ptf_packet_kind kind, uint64_t limit)
{
	struct ptf_packet packet;

	while (e->scanned < limit) {
		int n = ptf_packet_decode(
		        e->input.bytes + e->scanned, e->input.size - e->scanned, &packet);

		if (n <= 0)
			break;
		e->scanned += (uint64_t)n;
		ptf_clock_packet(&e->clock, &packet);
		if (packet.kind == kind)
			break;
	}
	e->packet.cyc_before = false;
	return ptf_clock_ns(&e->clock);
}

static uint64_t decoder_offset(const struct ptf_flow_engine *e)
{
	uint64_t offset;

	/* At its end the decoder has no offset. */
	return pt_blk_get_offset(e->decoder, &offset) < 0 ? e->input.size : offset;
}

/* ---- lost ---- */

static int lose(struct ptf_flow_engine *e, enum ptf_flow_cause cause, int code, uint64_t ip)
{
	struct ptf_flow_item item = make_item(PTF_FLOW_LOST, ip, PTF_NO_IP);
	int rc;

	item.cause = cause;
	item.code = code;
	close_packet(e);
	ptf_flow_timer_flush(&e->timer);
	rc = add_item(e, item);
	/* Trusted up to the last anchor, not beyond; the next anchor begins a new count. */
	ptf_flow_timer_flush(&e->timer);
	e->timer.anchor_ns = PTF_NO_TIME;
	e->function = NULL;
	return rc;
}

static int count_missing(struct ptf_flow_engine *e, uint64_t ip)
{
	const struct ptf_code_map *map = code_now(e) ? ptf_code_epoch_find(code_now(e), ip) : NULL;

	if (!map) {
		e->counts.unmapped_errors++;
		return 0;
	}
	while (e->counts.missing_by_module.n <= map->module->index) {
		if (!ptf_vec_push(&e->counts.missing_by_module, 0))
			return -PTF_ENOMEM;
	}
	e->counts.missing_by_module.v[map->module->index]++;
	return 0;
}

/* The decoder cannot go on in this segment. */
static int give_up(struct ptf_flow_engine *e, int code, uint64_t ip)
{
	uint64_t offset = decoder_offset(e);
	int rc = tell_transfer(e, PTF_NO_IP);

	e->done = true;
	e->counts.errors++;
	if (offset < e->input.next_psb)
		e->counts.lost_bytes += e->input.next_psb - offset;
	if (rc == 0 && code == -pte_nomap)
		rc = count_missing(e, ip);
	return rc < 0 ? rc : lose(e, PTF_CAUSE_ERROR, -code, ip);
}

/* ---- events ---- */

static int take_off(
        struct ptf_flow_engine *e, enum ptf_flow_cause cause, uint64_t from, uint64_t to)
{
	uint64_t ns = scan_event(e, PTF_PACKET_TIP_PGD, decoder_offset(e));
	struct ptf_flow_item item = make_item(PTF_FLOW_OFF, from, to);
	int rc;

	close_packet(e);
	item.cause = cause;
	item.from_function = e->function;
	rc = add_item(e, item);
	ptf_flow_timer_anchor(&e->timer, e->timer.position, ns);
	e->last_branch = e->timer.position;
	e->function = NULL;
	return rc;
}

static int take_disabled(struct ptf_flow_engine *e, const struct pt_event *event)
{
	uint64_t to = event->ip_suppressed ? PTF_NO_IP : event->variant.disabled.ip;
	enum ptf_flow_cause cause = PTF_CAUSE_BRANCH;
	uint64_t from = e->transfer_ip;
	int rc;

	if (e->transfer == ptic_far_call)
		cause = PTF_CAUSE_SYSCALL;
	if (e->transfer == ptic_error)
		from = PTF_NO_IP;
	if (e->transfer == ptic_call)
		e->untraced_call = (struct untraced_call){true, from, to};
	rc = e->transfer == ptic_return ? tell_transfer(e, to) : 0;
	e->transfer = ptic_error;
	return rc < 0 ? rc : take_off(e, cause, from, to);
}

/* A call whose target was not traced is counted, not pushed: for its target when that is known
 * code, else for the place where tracing goes on, as libipt's block decoder shows it. */
static int tell_untraced_call(struct ptf_flow_engine *e, uint64_t on)
{
	struct untraced_call call = e->untraced_call;
	struct ptf_flow_item item = make_item(PTF_FLOW_CALL, call.from, on);

	e->untraced_call.open = false;
	if (!call.open)
		return 0;
	item.cause = PTF_CAUSE_BRANCH;
	resolve_to(e, &item, true);
	if (!item.to_function || item.to_function->kind != PTF_FUNCTION_TARGET) {
		item.to = call.to;
		item.to_function = NULL;
		resolve_to(e, &item, true);
	}
	return item.to_function ? add_item(e, item) : 0;
}

static int take_async_disabled(struct ptf_flow_engine *e, const struct pt_event *event)
{
	uint64_t at = event->variant.async_disabled.at;
	int rc = tell_transfer(e, at);

	return rc < 0 ? rc : take_off(e, PTF_CAUSE_ASYNC, at, PTF_NO_IP);
}

/* Was the instruction before ip a system call? Then tracing goes on behind it. */
static bool behind_syscall(struct ptf_flow_engine *e, uint64_t ip)
{
	uint8_t bytes[2];

	return code_now(e) && ptf_code_epoch_read(code_now(e), ip - 2, bytes, 2) == 2 &&
	       bytes[0] == 0x0f && bytes[1] == 0x05;
}

static int tell_thread(struct ptf_flow_engine *e)
{
	const struct ptf_run_span *span = &e->input.spans[e->span];
	struct ptf_flow_item item = make_item(PTF_FLOW_THREAD, PTF_NO_IP, PTF_NO_IP);

	item.pid = span->pid;
	item.code = span->tid;
	return add_item(e, item);
}

/* Goes to the span of ns; tells when it is another thread's. */
static int follow_span(struct ptf_flow_engine *e, uint64_t ns)
{
	int32_t tid = e->input.spans[e->span].tid;

	if (!seek_span(e, ns))
		return 0;
	if (use_code(e) < 0)
		return -PTF_ENOMEM;
	return e->input.spans[e->span].tid == tid ? 0 : tell_thread(e);
}

static int take_on(struct ptf_flow_engine *e, uint64_t to, enum ptf_flow_cause cause, uint64_t ns)
{
	struct ptf_flow_item item = make_item(PTF_FLOW_ON, PTF_NO_IP, to);
	int rc = follow_span(e, ns);

	if (rc < 0)
		return rc;
	rc = tell_untraced_call(e, to);
	if (rc < 0)
		return rc;
	item.cause = cause;
	if (cause == PTF_CAUSE_NONE && behind_syscall(e, to))
		item.cause = PTF_CAUSE_SYSCALL;
	/* Did a call of an earlier segment go here? Only the stitcher knows. */
	if (e->began_off)
		resolve_to(e, &item, true);
	if (item.to_function && item.to_function->kind == PTF_FUNCTION_TARGET)
		item.from_function = item.to_function;
	e->began_off = false;
	resolve_to(e, &item, false);
	e->transfer = ptic_error;
	rc = add_item(e, item);
	if (cause != PTF_CAUSE_OVERFLOW)
		ptf_flow_timer_anchor(&e->timer, e->timer.position, ns);
	e->packet.direct_ns = e->packet.loose_ns = PTF_NO_TIME;
	e->last_branch = e->timer.position;
	return rc;
}

static int take_overflow(struct ptf_flow_engine *e, const struct pt_event *event)
{
	int rc = tell_transfer(e, PTF_NO_IP);

	e->counts.overflows++;
	if (rc == 0)
		rc = lose(e, PTF_CAUSE_OVERFLOW, 0, e->transfer_ip);
	scan_event(e, PTF_PACKET_OVF, decoder_offset(e));
	if (rc < 0 || event->ip_suppressed)
		return rc;
	return take_on(e, event->variant.overflow.ip, PTF_CAUSE_OVERFLOW, PTF_NO_TIME);
}

static int take_async_branch(struct ptf_flow_engine *e, const struct pt_event *event)
{
	struct ptf_flow_item item = make_item(
	        PTF_FLOW_ASYNC, event->variant.async_branch.from, event->variant.async_branch.to);
	uint64_t ns;
	int rc = tell_transfer(e, item.from);

	if (rc < 0)
		return rc;
	scan_event(e, PTF_PACKET_FUP, decoder_offset(e));
	ns = scan_event(e, PTF_PACKET_TIP, decoder_offset(e));
	close_packet(e);
	item.cause = PTF_CAUSE_ASYNC;
	resolve_to(e, &item, false);
	rc = add_item(e, item);
	ptf_flow_timer_anchor(&e->timer, e->timer.position, ns);
	e->last_branch = e->timer.position;
	e->function = item.to_function;
	return rc;
}

static int take_event(struct ptf_flow_engine *e)
{
	struct pt_event event;
	int status = pt_blk_event(e->decoder, &event, sizeof(event));

	if (status < 0)
		return give_up(e, status, e->transfer_ip);
	e->status = status;
	if (event.status_update)
		return 0;
	switch (event.type) {
	case ptev_enabled:
		return take_on(e, event.variant.enabled.ip, PTF_CAUSE_NONE,
		        scan_event(e, PTF_PACKET_TIP_PGE, decoder_offset(e)));
	case ptev_disabled:
		return take_disabled(e, &event);
	case ptev_async_disabled:
		return take_async_disabled(e, &event);
	case ptev_async_branch:
		return take_async_branch(e, &event);
	case ptev_overflow:
		return take_overflow(e, &event);
	case ptev_stop:
		return 0;
	default:
		/* Events that only tell (TSX, power, PTWRITE): their FUP need not hold up the scan.
		 */
		if (e->scanned < decoder_offset(e))
			scan_event(e, PTF_PACKET_FUP, decoder_offset(e));
		return 0;
	}
}

/* ---- blocks ---- */

/* Most blocks end in a jump inside their function, of which there is nothing to tell. */
static bool stays_inside(const struct ptf_flow_engine *e, const struct ptf_code_place *place)
{
	if (e->transfer != ptic_cond_jump && e->transfer != ptic_jump && e->transfer != ptic_other)
		return false;
	return place->function == e->function && !(e->transfer_indirect && place->entry);
}

/* The block begins: the transfer before it went here. */
static int enter_block(struct ptf_flow_engine *e, const struct pt_block *block)
{
	const struct ptf_code_place *place = place_of(e, block->ip, false);
	const struct ptf_function *function = place ? place->function : NULL;
	int rc = 0;

	e->code32 = block->mode == ptem_32bit;
	e->began_off = false;
	if (place && stays_inside(e, place))
		e->transfer = ptic_error;
	else if (e->transfer != ptic_error)
		rc = tell_transfer(e, block->ip);
	e->function = function;
	return rc;
}

static int take_block(struct ptf_flow_engine *e, const struct pt_block *block)
{
	uint64_t offset = decoder_offset(e);
	int rc = enter_block(e, block);

	if (offset > e->scanned) {
		e->packet.is_tip = false;
		scan_block(e, offset);
		e->idle_blocks = 0;
	} else {
		e->idle_blocks++;
	}
	ptf_flow_timer_retire(&e->timer, block->ninsn);
	e->counts.instructions += block->ninsn;
	e->counts.calls += block->iclass == ptic_call;
	e->counts.returns += block->iclass == ptic_return;
	e->transfer = block->iclass == ptic_error ? ptic_other : block->iclass;
	e->transfer_ip = block->end_ip;
	e->transfer_indirect = e->packet.is_tip;
	if (block->iclass == ptic_cond_jump || block->iclass == ptic_return || e->packet.is_tip)
		e->last_branch = e->timer.position;
	if (e->packet.is_tip) {
		e->packet.is_tip = false;
		ptf_flow_timer_anchor(&e->timer, e->timer.position, e->packet.direct_ns);
		e->packet.direct_ns = PTF_NO_TIME;
	}
	return rc;
}

/* All packets are read. The MODE.Exec of the next PSB+ made the decoder walk up to its FUP; of a
 * PSB+ without one, the code between the last packet and the FUP is missing. */
static int end_segment(struct ptf_flow_engine *e)
{
	struct ptf_flow_item item = make_item(PTF_FLOW_END, PTF_NO_IP, PTF_NO_IP);
	int rc = 0;

	e->done = true;
	if (e->transfer != ptic_error)
		rc = tell_transfer(e, e->next_plus.ip);
	if (e->untraced_call.open)
		item.cause = PTF_CAUSE_BRANCH;
	close_packet(e);
	if (rc == 0)
		rc = add_item(e, item);
	ptf_flow_timer_anchor(&e->timer, e->timer.position, e->next_plus.ns);
	ptf_flow_timer_flush(&e->timer);
	return rc;
}

static int step(struct ptf_flow_engine *e)
{
	struct pt_block block;
	int status, rc = 0;

	if (e->status & pts_event_pending)
		return take_event(e);
	if (e->status & pts_eos)
		return end_segment(e);
	block.ninsn = 0;
	block.ip = block.end_ip = PTF_NO_IP;
	status = pt_blk_next(e->decoder, &block, sizeof(block));
	if (block.ninsn)
		rc = take_block(e, &block);
	if (rc < 0)
		return rc;
	if (status == -pte_eos)
		return end_segment(e);
	if (status < 0)
		return give_up(e, status, block.ninsn ? block.end_ip : block.ip);
	if (e->idle_blocks > MAX_BLOCKS_WITHOUT_PACKET)
		return give_up(e, -pte_bad_query, block.end_ip);
	e->status = status;
	return 0;
}

/* ---- a segment ---- */

static int skip_unknown(struct pt_packet_unknown *unknown, const struct pt_config *config,
        const uint8_t *pos, void *context)
{
	struct ptf_packet packet;
	int size = ptf_packet_decode(pos, (size_t)(config->end - pos), &packet);

	(void)unknown;
	(void)context;
	return size > 0 ? size : -pte_bad_opc;
}

static int make_decoder(struct ptf_flow_engine *e)
{
	const struct ptf_clock_params *clock = &e->shared->config->clock;
	struct pt_config config = {.size = sizeof(config)};

	config.begin = (uint8_t *)(uintptr_t)e->input.bytes;
	config.end = config.begin + e->input.size;
	config.decode.callback = skip_unknown;
	config.cpu = (struct pt_cpu){.vendor = pcv_intel,
	        .family = e->shared->config->cpu_family,
	        .model = e->shared->config->cpu_model,
	        .stepping = e->shared->config->cpu_stepping};
	config.errata = e->shared->errata;
	config.cpuid_0x15_eax = clock->tsc_ctc_d;
	config.cpuid_0x15_ebx = clock->tsc_ctc_n;
	config.mtc_freq = clock->mtc_shift;
	config.nom_freq = (uint8_t)clock->max_nonturbo_ratio;
	config.flags.variant.block.end_on_call = 1;
	config.flags.variant.block.end_on_jump = 1;
	pt_blk_free_decoder(e->decoder);
	e->decoder = pt_blk_alloc_decoder(&config);
	return e->decoder ? 0 : -PTF_ENOMEM;
}

/* libipt takes any FUP in a PSB+ for "tracing is on" and then stumbles over the TIP.PGE: a copy of
 * the segment gets PADs in its place. */
static bool blank_packet(struct ptf_flow_engine *e, uint64_t offset)
{
	struct ptf_packet packet;
	uint8_t *copy;
	int size;

	copy = realloc(e->copy, (size_t)e->input.size);
	if (!copy)
		return false;
	e->copy = copy;
	memcpy(copy, e->input.bytes, (size_t)e->input.size);
	size = ptf_packet_decode(copy + offset, (size_t)(e->input.size - offset), &packet);
	memset(copy + offset, 0, size > 0 ? (size_t)size : 0);
	e->input.bytes = copy;
	return true;
}

static int begin_flow(struct ptf_flow_engine *e, const struct ptf_psb_plus *plus)
{
	struct ptf_flow_item item = make_item(PTF_FLOW_SYNC, PTF_NO_IP, plus->ip);
	int rc = tell_thread(e);

	if (rc < 0)
		return rc;
	resolve_to(e, &item, false);
	rc = add_item(e, item);
	e->scanned = 0;
	scan_event(e, PTF_PACKET_PSBEND, plus->size);
	ptf_flow_timer_anchor(&e->timer, 0, plus->ns);
	e->status = pt_blk_sync_forward(e->decoder);
	if (rc == 0 && e->status < 0)
		return e->status == -pte_eos ? end_segment(e) : give_up(e, e->status, plus->ip);
	return rc;
}

static int engine_begin(struct ptf_flow_engine *e, const struct ptf_engine_input *input)
{
	const struct ptf_clock_params *clock = &e->shared->config->clock;
	struct ptf_psb_plus plus;

	e->input = *input;
	e->span = 0;
	e->done = false;
	e->idle_blocks = 0;
	e->last_branch = 0;
	e->function = NULL;
	e->untraced_call.open = false;
	e->began_off = true;
	e->transfer = ptic_error;
	e->transfer_ip = PTF_NO_IP;
	e->packet = (struct open_packet){.direct_ns = PTF_NO_TIME, .loose_ns = PTF_NO_TIME};
	e->counts.psbs++;
	ptf_clock_init(&e->clock, clock);
	ptf_flow_timer_begin(&e->timer, &e->counts.distances);
	ptf_psb_plus_read(&plus, clock, input->bytes, input->size);
	ptf_psb_plus_read(&e->next_plus, clock, input->bytes + input->next_psb,
	        input->size - input->next_psb);
	if (plus.stale_fup && !blank_packet(e, plus.stale_fup))
		return -PTF_ENOMEM;
	if (make_decoder(e) < 0)
		return -PTF_ENOMEM;
	seek_span(e, plus.ns);
	if (use_code(e) < 0)
		return -PTF_ENOMEM;
	return begin_flow(e, &plus);
}

static int engine_next(struct ptf_flow_engine *e, const struct ptf_flow_item **item)
{
	while (!(*item = ptf_flow_timer_next(&e->timer))) {
		int rc;

		if (e->done)
			return 1;
		rc = step(e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const struct ptf_engine_counts *engine_counts(const struct ptf_flow_engine *e)
{
	return &e->counts;
}

const struct ptf_flow_engine_ops ptf_engine_libipt = {
        .name = "libipt",
        .share = share,
        .unshare = unshare,
        .create = engine_create,
        .destroy = engine_destroy,
        .begin = engine_begin,
        .next = engine_next,
        .counts = engine_counts,
};
