/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <ptflame/error.h>

#include "pt/pt_packet.h"
#include "pt/resync.h"
#include "pt/run_span.h"

/* PSB, MODE.Exec, FUP with 6 bytes of IP, PSBEND. */
enum {
	PSB_SIZE = 16,
	MODE_SIZE = 2,
	FUP_SIZE = 7,
	HEADER_SIZE = PSB_SIZE + MODE_SIZE + FUP_SIZE + 2
};

/* What is known at a place of the stream. */
struct scan {
	const struct ptf_engine_input *input;
	uint64_t at; /* bytes */
	enum ptf_packet_block block;
	struct ptf_last_ip last_ip;
	struct ptf_clock clock;
	uint8_t mode[MODE_SIZE]; /* the last MODE.Exec packet */
	bool behind_ovf;         /* a FUP that comes next says where tracing goes on */
};

void ptf_resync_release(struct ptf_resync *resync)
{
	free(resync->bytes);
	*resync = (struct ptf_resync){0};
}

void ptf_resync_begin(struct ptf_resync *resync)
{
	resync->copied = false;
}

/* Takes the next packet; false at the end. has_ip: the packet says where the flow is. */
static bool scan_packet(struct scan *s, bool *has_ip)
{
	const uint8_t *bytes = s->input->bytes + s->at;
	struct ptf_packet packet;
	int n = s->at < s->input->next_psb
	                ? ptf_packet_decode_block(
	                          bytes, (size_t)(s->input->size - s->at), &s->block, &packet)
	                : 0;

	*has_ip = false;
	if (n <= 0)
		return false;
	s->at += (uint64_t)n;
	ptf_clock_packet(&s->clock, &packet);
	switch (packet.kind) {
	case PTF_PACKET_TIP:
	case PTF_PACKET_TIP_PGE:
		*has_ip = ptf_last_ip_update(&s->last_ip, &packet);
		break;
	case PTF_PACKET_TIP_PGD:
		ptf_last_ip_update(&s->last_ip, &packet);
		break;
	case PTF_PACKET_FUP:
		*has_ip = ptf_last_ip_update(&s->last_ip, &packet) && s->behind_ovf;
		s->behind_ovf = false;
		break;
	case PTF_PACKET_PSB:
	case PTF_PACKET_OVF:
		s->last_ip.ip = 0;
		s->behind_ovf = packet.kind == PTF_PACKET_OVF;
		break;
	case PTF_PACKET_MODE_EXEC:
		memcpy(s->mode, bytes, MODE_SIZE);
		break;
	default:
		break;
	}
	return true;
}

/* Is there code at the place, of the thread that runs then? */
static bool is_readable(const struct scan *s)
{
	const struct ptf_engine_input *input = s->input;
	const struct ptf_code_epoch *code;
	uint64_t ns = ptf_clock_ns(&s->clock);
	size_t span = 0;
	uint8_t byte;

	if (ns != PTF_NO_TIME)
		span = ptf_run_spans_find(input->spans, input->n_spans, 0, ns);
	code = input->spans[span].code;
	return code && ptf_code_epoch_read(code, s->last_ip.ip, &byte, 1) == 1;
}

/* Moves the scan behind the first packet from `offset` on that says where the flow is, in code that
 * is there. */
static bool find_place(struct scan *s, uint64_t offset)
{
	bool has_ip;

	while (scan_packet(s, &has_ip)) {
		if (has_ip && s->at > offset && is_readable(s))
			return true;
	}
	return false;
}

static bool copy_segment(struct ptf_resync *resync, struct ptf_engine_input *input)
{
	size_t need = HEADER_SIZE + (size_t)input->size;

	if (resync->copied)
		return true;
	if (need > resync->cap) {
		uint8_t *bytes = realloc(resync->bytes, need);

		if (!bytes)
			return false;
		resync->bytes = bytes;
		resync->cap = need;
	}
	memcpy(resync->bytes + HEADER_SIZE, input->bytes, (size_t)input->size);
	input->bytes = resync->bytes + HEADER_SIZE;
	resync->copied = true;
	return true;
}

/* Writes a PSB+ in front of `end`. */
static void write_header(uint8_t *end, const struct scan *s)
{
	uint8_t *at = end - HEADER_SIZE;

	for (int i = 0; i < PSB_SIZE; i += 2)
		memcpy(at + i, "\x02\x82", 2);
	memcpy(at + PSB_SIZE, s->mode, MODE_SIZE);
	at += PSB_SIZE + MODE_SIZE;
	at[0] = 3 << 5 | 0x1d;
	memcpy(at + 1, &s->last_ip.ip, FUP_SIZE - 1);
	memcpy(at + FUP_SIZE, "\x02\x23", 2);
}

int ptf_resync_next(struct ptf_resync *resync, struct ptf_engine_input *input, uint64_t offset,
        const struct ptf_clock_params *clock)
{
	struct scan s = {.mode = {0x99, 0x01}};
	uint64_t from;

	if (!copy_segment(resync, input))
		return -PTF_ENOMEM;
	s.input = input;
	if (input->resume)
		s.clock = input->resume->clock;
	else
		ptf_clock_init(&s.clock, clock);
	if (!find_place(&s, offset))
		return 0;
	/* What lies before the place has been read: the header may be there. It takes no more room
	 * than the packets of the PSB+ before and the headroom of the copy. */
	from = s.at - HEADER_SIZE;
	write_header((uint8_t *)(uintptr_t)input->bytes + s.at, &s);
	resync->resume = (struct ptf_resume){.clock = s.clock, .header_size = HEADER_SIZE};
	input->bytes += from;
	input->size -= from;
	input->next_psb -= from;
	input->resume = &resync->resume;
	return 1;
}
