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
#include "pt/flow_teller.h"

/* Sections that stay mapped, bytes: without a large limit they are unmapped on every switch between
 * modules and decoding falls to 50 kB/s. */
#define SECTION_CACHE_LIMIT (4ull << 30)

struct shared {
	const struct ptf_engine_config *config;
	struct pt_errata errata;
};

struct ptf_flow_engine {
	struct ptf_flow_teller teller;
	struct shared *shared;
	/* Our own: libipt takes a section's lock for every block, and threads that share sections
	 * spend on these locks what they win (40 MB, two threads: 3.4 s shared, 2.7 s apart). */
	struct pt_image_section_cache *sections;
	struct pt_block_decoder *decoder;
	struct ptf_hash_map images; /* an epoch's maps -> struct pt_image *, ours */
	uint8_t *copy;              /* owned: a segment that had to be changed, or NULL */
	uint64_t scanned;           /* bytes of the segment that the scan is past */
	bool bound_fup;             /* the next FUP belongs to the packet before it, not to a TIP */
	bool is_tip;                /* a TIP was the last packet that the scan opened */
	int status;                 /* of the decoder */
	unsigned idle_blocks;       /* blocks since the scan moved */
};

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
	ptf_flow_teller_release(&e->teller);
	free(e->copy);
	free(e);
}

/* ---- code ---- */

static int read_code(
        uint8_t *buffer, size_t size, const struct pt_asid *asid, uint64_t ip, void *context)
{
	const struct ptf_flow_engine *e = context;
	const struct ptf_code_epoch *code = ptf_flow_teller_code(&e->teller);
	size_t got = code ? ptf_code_epoch_read(code, ip, buffer, size) : 0;

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

static bool add_maps(
        struct ptf_flow_engine *e, struct pt_image *image, const struct ptf_code_epoch *code)
{
	for (size_t i = 0; i < code->n_maps; i++) {
		if (add_map(e->sections, image, &code->maps[i]) == -pte_nomem)
			return false;
	}
	return true;
}

static struct pt_image *make_image(struct ptf_flow_engine *e, const struct ptf_code_epoch *code)
{
	const struct ptf_code_epoch *kernel = ptf_code_images_kernel(code->images);
	struct pt_image *image = pt_image_alloc(NULL);

	if (!image)
		return NULL;
	if (!add_maps(e, image, code) ||
	        (kernel && kernel != code && !add_maps(e, image, kernel))) {
		pt_image_free(image);
		return NULL;
	}
	pt_image_set_callback(image, read_code, e);
	return image;
}

/* Makes the decoder read the current span's code. Epochs that differ only in code made at run time,
 * which is read through the callback, have the same maps and share an image. */
static int use_code(struct ptf_flow_engine *e)
{
	const struct ptf_code_epoch *code = ptf_flow_teller_code(&e->teller);
	uint64_t *image;

	if (!code)
		return 0;
	image = ptf_hash_map_at(&e->images, (uintptr_t)code->maps, NULL);
	if (!image)
		return -PTF_ENOMEM;
	if (!*image)
		*image = (uintptr_t)make_image(e, code);
	if (!*image)
		return -PTF_ENOMEM;
	pt_blk_set_image(e->decoder, (struct pt_image *)(uintptr_t)*image);
	return 0;
}

/* ---- the scan ---- */

static int scan_next(const struct ptf_flow_engine *e, struct ptf_packet *packet)
{
	const struct ptf_engine_input *input = &e->teller.input;

	return ptf_packet_decode(input->bytes + e->scanned, input->size - e->scanned, packet);
}

static bool is_event_packet(const struct ptf_flow_engine *e, enum ptf_packet_kind kind)
{
	if (kind == PTF_PACKET_FUP)
		return !e->bound_fup;
	return kind == PTF_PACKET_TIP_PGE || kind == PTF_PACKET_TIP_PGD || kind == PTF_PACKET_OVF ||
	       kind == PTF_PACKET_PSB;
}

/* Moves the scan up to `limit` or the next event's packet. */
static void scan_to_event(struct ptf_flow_engine *e, uint64_t limit)
{
	struct ptf_packet packet;

	while (e->scanned < limit) {
		int n = scan_next(e, &packet);

		if (n <= 0 || is_event_packet(e, packet.kind))
			return;
		e->scanned += (uint64_t)n;
		e->bound_fup = ptf_flow_teller_binds_fup(&packet, e->bound_fup);
		if (packet.kind == PTF_PACKET_TNT_8 || packet.kind == PTF_PACKET_TNT_64 ||
		        packet.kind == PTF_PACKET_TIP) {
			e->is_tip = packet.kind == PTF_PACKET_TIP;
			ptf_flow_teller_open_packet(&e->teller);
		} else {
			ptf_flow_teller_timing(&e->teller, &packet);
		}
	}
}

/* Moves the scan over an event's next packet, of a kind, not past `limit`; returns the time there.
 */
static uint64_t scan_event(struct ptf_flow_engine *e, enum ptf_packet_kind kind, uint64_t limit)
{
	struct ptf_packet packet;

	while (e->scanned < limit) {
		int n = scan_next(e, &packet);

		if (n <= 0)
			break;
		e->scanned += (uint64_t)n;
		e->bound_fup = false;
		ptf_clock_packet(&e->teller.clock, &packet);
		if (packet.kind == kind)
			break;
	}
	return ptf_clock_ns(&e->teller.clock);
}

static uint64_t decoder_offset(const struct ptf_flow_engine *e)
{
	uint64_t offset;

	/* At its end the decoder has no offset. */
	return pt_blk_get_offset(e->decoder, &offset) < 0 ? e->teller.input.size : offset;
}

/* The decoder cannot go on in this segment. */
static int give_up(struct ptf_flow_engine *e, int code, uint64_t ip)
{
	scan_to_event(e, decoder_offset(e));
	return ptf_flow_teller_give_up(&e->teller, -code, ip, decoder_offset(e));
}

/* All packets are read. */
static int end_segment(struct ptf_flow_engine *e)
{
	scan_to_event(e, decoder_offset(e));
	return ptf_flow_teller_end(&e->teller);
}

/* ---- events ---- */

static int take_enabled(
        struct ptf_flow_engine *e, uint64_t to, enum ptf_flow_cause cause, uint64_t ns)
{
	size_t span = e->teller.span;
	int rc = ptf_flow_teller_enabled(&e->teller, to, cause, ns);

	return rc == 0 && e->teller.span != span ? use_code(e) : rc;
}

static int take_overflow(struct ptf_flow_engine *e, const struct pt_event *event, uint64_t limit)
{
	int rc = ptf_flow_teller_overflow(&e->teller);

	scan_event(e, PTF_PACKET_OVF, limit);
	if (rc < 0 || event->ip_suppressed)
		return rc;
	scan_event(e, PTF_PACKET_FUP, limit);
	return take_enabled(e, event->variant.overflow.ip, PTF_CAUSE_OVERFLOW, PTF_NO_TIME);
}

static int apply_event(struct ptf_flow_engine *e, const struct pt_event *event)
{
	uint64_t limit = decoder_offset(e);
	struct ptf_flow_teller *t = &e->teller;

	switch (event->type) {
	case ptev_enabled:
		scan_to_event(e, limit);
		return take_enabled(e, event->variant.enabled.ip, PTF_CAUSE_NONE,
		        scan_event(e, PTF_PACKET_TIP_PGE, limit));
	case ptev_disabled:
		scan_to_event(e, limit);
		return ptf_flow_teller_disabled(t,
		        event->ip_suppressed ? PTF_NO_IP : event->variant.disabled.ip,
		        scan_event(e, PTF_PACKET_TIP_PGD, limit));
	case ptev_async_disabled:
		scan_to_event(e, limit);
		return ptf_flow_teller_async_disabled(t, event->variant.async_disabled.at,
		        scan_event(e, PTF_PACKET_TIP_PGD, limit));
	case ptev_async_branch:
		scan_to_event(e, limit);
		scan_event(e, PTF_PACKET_FUP, limit);
		return ptf_flow_teller_async_branch(t, event->variant.async_branch.from,
		        event->variant.async_branch.to, scan_event(e, PTF_PACKET_TIP, limit));
	case ptev_overflow:
		scan_to_event(e, limit);
		return take_overflow(e, event, limit);
	default:
		/* Events that only tell (TSX, power, PTWRITE). */
		return 0;
	}
}

/* No type of an event. */
#define NO_EVENT ((enum pt_event_type)0xff)

static int take_event(struct ptf_flow_engine *e)
{
	/* pt_blk_event applies the event and then looks for the next one: when that fails it
	 * returns an error, but the event counts all the same. */
	struct pt_event event = {.type = NO_EVENT};
	int status = pt_blk_event(e->decoder, &event, sizeof(event)), rc = 0;

	e->status = status;
	if (event.type != NO_EVENT && !event.status_update)
		rc = apply_event(e, &event);
	if (rc == 0 && status < 0)
		return give_up(e, status, e->teller.transfer.ip);
	return rc;
}

/* ---- blocks ---- */

static enum ptf_exec_mode mode_of(enum pt_exec_mode mode)
{
	switch (mode) {
	case ptem_16bit:
		return PTF_MODE_16;
	case ptem_32bit:
		return PTF_MODE_32;
	case ptem_64bit:
		return PTF_MODE_64;
	default:
		return PTF_MODE_UNKNOWN;
	}
}

/* Out of its block cache the decoder does not say what an indirect jump or far branch was. */
static enum ptf_insn_class look_at_insn(struct ptf_flow_engine *e, const struct pt_block *block)
{
	const struct ptf_code_epoch *code = ptf_flow_teller_code(&e->teller);
	const struct ptf_insn *insn;

	if (!code)
		return PTF_INSN_OTHER;
	insn = ptf_code_lookup_insn(&e->teller.lookup, code, block->end_ip, mode_of(block->mode));
	return insn->size ? insn->insn_class : PTF_INSN_OTHER;
}

static enum ptf_insn_class class_of(struct ptf_flow_engine *e, const struct pt_block *block)
{
	switch (block->iclass) {
	case ptic_call:
		return PTF_INSN_CALL;
	case ptic_return:
		return PTF_INSN_RETURN;
	case ptic_jump:
		return PTF_INSN_JUMP;
	case ptic_cond_jump:
		return PTF_INSN_COND_JUMP;
	case ptic_far_call:
		return PTF_INSN_FAR_CALL;
	case ptic_far_return:
		return PTF_INSN_FAR_RETURN;
	case ptic_far_jump:
		return PTF_INSN_FAR_JUMP;
	case ptic_error:
		return look_at_insn(e, block);
	default:
		return PTF_INSN_OTHER;
	}
}

/* Most blocks end in a jump inside their function, of which there is nothing to tell. */
static bool stays_inside(const struct ptf_transfer *transfer, const struct ptf_code_place *place)
{
	if (transfer->insn_class != PTF_INSN_COND_JUMP && transfer->insn_class != PTF_INSN_JUMP)
		return false;
	return place->function == transfer->function && !(transfer->by_tip && place->entry);
}

/* The block begins: the transfer before it went here. */
static int enter_block(struct ptf_flow_engine *e, const struct pt_block *block)
{
	const struct ptf_code_place *place = ptf_flow_teller_place(&e->teller, block->ip, false);
	const struct ptf_function *function = place ? place->function : NULL;
	struct ptf_transfer *transfer = &e->teller.transfer;
	int rc = 0;

	e->teller.began_off = false;
	transfer->mode = mode_of(block->mode);
	/* The block goes on where the last one was cut, be it by an event or because the decoder's
	 * block cache has a join there. */
	if (transfer->insn_class == PTF_INSN_OTHER) {
		transfer->insn_class = PTF_INSN_NONE;
		return 0;
	}
	if (place && stays_inside(transfer, place))
		transfer->insn_class = PTF_INSN_NONE;
	else
		rc = ptf_flow_teller_tell(&e->teller, block->ip);
	transfer->function = function;
	return rc;
}

/* Moves the scan over the packets of the block. */
static void scan_block(struct ptf_flow_engine *e)
{
	uint64_t before = e->scanned;

	e->is_tip = false;
	scan_to_event(e, decoder_offset(e));
	e->idle_blocks = e->scanned == before ? e->idle_blocks + 1 : 0;
}

static int take_block(struct ptf_flow_engine *e, const struct pt_block *block)
{
	struct ptf_flow_teller *t = &e->teller;
	int rc = enter_block(e, block);

	scan_block(e);
	ptf_flow_timer_retire(&t->timer, block->ninsn);
	t->counts.instructions += block->ninsn;
	t->counts.calls += block->iclass == ptic_call;
	t->counts.returns += block->iclass == ptic_return;
	t->transfer.insn_class = class_of(e, block);
	t->transfer.ip = block->end_ip;
	t->transfer.by_tip = e->is_tip;
	if (block->iclass == ptic_cond_jump || block->iclass == ptic_return)
		t->last_branch = t->timer.position;
	if (e->is_tip)
		ptf_flow_teller_tip_done(t);
	return rc;
}

static int step(struct ptf_flow_engine *e)
{
	struct pt_block block;
	int status, rc = 0;
	size_t span;

	if (e->status & pts_event_pending)
		return take_event(e);
	if (e->status & pts_eos)
		return end_segment(e);
	if (ptf_flow_teller_follow_epoch(&e->teller))
		rc = use_code(e);
	if (rc < 0)
		return rc;
	block.ninsn = 0;
	block.ip = block.end_ip = PTF_NO_IP;
	status = pt_blk_next(e->decoder, &block, sizeof(block));
	span = e->teller.span;
	if (block.ninsn)
		rc = take_block(e, &block);
	if (rc == 0 && e->teller.span != span)
		rc = use_code(e);
	if (rc < 0)
		return rc;
	if (status == -pte_eos)
		return end_segment(e);
	if (status < 0)
		return give_up(e, status, block.ninsn ? block.end_ip : block.ip);
	if (e->idle_blocks > PTF_MAX_IDLE_BLOCKS)
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

	config.begin = (uint8_t *)(uintptr_t)e->teller.input.bytes;
	config.end = config.begin + e->teller.input.size;
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
	struct ptf_engine_input *input = &e->teller.input;
	struct ptf_packet packet;
	uint8_t *copy;
	int size;

	copy = realloc(e->copy, (size_t)input->size);
	if (!copy)
		return false;
	e->copy = copy;
	memcpy(copy, input->bytes, (size_t)input->size);
	size = ptf_packet_decode(copy + offset, (size_t)(input->size - offset), &packet);
	memset(copy + offset, 0, size > 0 ? (size_t)size : 0);
	input->bytes = copy;
	return true;
}

static int begin_flow(struct ptf_flow_engine *e, const struct ptf_psb_plus *plus)
{
	int rc;

	e->scanned = 0;
	scan_event(e, PTF_PACKET_PSBEND, plus->size);
	rc = ptf_flow_teller_sync(&e->teller, plus);
	e->status = pt_blk_sync_forward(e->decoder);
	if (rc < 0 || e->status >= 0)
		return rc;
	return e->status == -pte_eos ? ptf_flow_teller_end(&e->teller)
	                             : give_up(e, e->status, plus->ip);
}

static int engine_begin(struct ptf_flow_engine *e, const struct ptf_engine_input *input)
{
	struct ptf_psb_plus plus;

	e->idle_blocks = 0;
	e->bound_fup = false;
	ptf_flow_teller_begin(&e->teller, &e->shared->config->clock, input, &plus);
	if (plus.stale_fup && !blank_packet(e, plus.stale_fup))
		return -PTF_ENOMEM;
	if (make_decoder(e) < 0 || use_code(e) < 0)
		return -PTF_ENOMEM;
	return begin_flow(e, &plus);
}

static int engine_next(struct ptf_flow_engine *e, const struct ptf_flow_item **item)
{
	while (!(*item = ptf_flow_timer_next(&e->teller.timer))) {
		int rc;

		if (e->teller.done)
			return 1;
		rc = step(e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static uint64_t engine_stopped_at(const struct ptf_flow_engine *e)
{
	return e->teller.stopped_at;
}

static const struct ptf_engine_counts *engine_counts(const struct ptf_flow_engine *e)
{
	return &e->teller.counts;
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
        .stopped_at = engine_stopped_at,
};
