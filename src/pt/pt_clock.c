/* SPDX-License-Identifier: BSD-2-Clause */
#include "pt/flow_item.h"
#include "pt/pt_clock.h"

void ptf_clock_params_from_info(struct ptf_clock_params *params,
        const struct ptf_record_auxtrace_info *info, uint64_t config)
{
	uint64_t mtc = info->mtc_freq_bits ? (config & info->mtc_freq_bits) >>
	                                             __builtin_ctzll(info->mtc_freq_bits)
	                                   : 0;

	*params = (struct ptf_clock_params){0};
	/* A CTC has 16 bits in a TMA packet: larger periods cannot be. */
	params->mtc_shift = mtc < 16 ? (uint8_t)mtc : 0;
	if (info->cap_user_time_zero && info->time_shift < 64) {
		params->time_shift = (uint16_t)info->time_shift;
		params->time_mult = (uint32_t)info->time_mult;
		params->time_zero = info->time_zero;
	}
	params->tsc_ctc_n = (uint32_t)info->tsc_ctc_ratio_n;
	params->tsc_ctc_d = (uint32_t)info->tsc_ctc_ratio_d;
	params->max_nonturbo_ratio =
	        info->max_nonturbo_ratio < 256 ? (uint32_t)info->max_nonturbo_ratio : 0;
}

void ptf_clock_init(struct ptf_clock *clock, const struct ptf_clock_params *params)
{
	*clock = (struct ptf_clock){.params = params};
}

/* A time that an absolute packet gave. CYC packets may have run ahead of it: time stands then. */
static void set_base(struct ptf_clock *clock, uint64_t tsc)
{
	clock->base = tsc;
	clock->cycles = 0;
	if (tsc > clock->tsc)
		clock->tsc = tsc;
}

static bool take_tsc(struct ptf_clock *clock, uint64_t payload)
{
	/* The packet has the lower 56 bits. */
	uint64_t tsc = payload | (clock->tsc & 0xffull << 56);

	clock->has_tsc = true;
	clock->has_tma = false;
	set_base(clock, tsc);
	return true;
}

static bool take_tma(struct ptf_clock *clock, uint32_t ctc, uint32_t fast)
{
	const struct ptf_clock_params *params = clock->params;
	uint32_t rest = ctc & ((1u << params->mtc_shift) - 1);

	if (!clock->has_tsc || !params->tsc_ctc_d || !params->tsc_ctc_n)
		return false;
	clock->last_mtc = (uint8_t)(ctc >> params->mtc_shift);
	clock->ctc_ticks = 0;
	clock->ctc_tsc =
	        clock->base - fast - ptf_mul_div(rest, params->tsc_ctc_n, params->tsc_ctc_d);
	clock->has_tma = true;
	return false;
}

static bool take_mtc(struct ptf_clock *clock, uint8_t payload)
{
	const struct ptf_clock_params *params = clock->params;
	uint8_t periods = (uint8_t)(payload - clock->last_mtc);

	if (!clock->has_tma)
		return false;
	clock->last_mtc = payload;
	clock->ctc_ticks += (uint64_t)periods << params->mtc_shift;
	set_base(clock, clock->ctc_tsc + ptf_mul_div(clock->ctc_ticks, params->tsc_ctc_n,
	                                         params->tsc_ctc_d));
	return true;
}

static bool take_cbr(struct ptf_clock *clock, uint32_t cbr)
{
	if (clock->cbr && cbr != clock->cbr) {
		/* What was counted so far was at the old frequency. */
		clock->base = clock->tsc;
		clock->cycles = 0;
	}
	clock->cbr = cbr;
	return false;
}

bool ptf_clock_packet(struct ptf_clock *clock, const struct ptf_packet *packet)
{
	switch (packet->kind) {
	case PTF_PACKET_TSC:
		return take_tsc(clock, packet->payload);
	case PTF_PACKET_TMA:
		return take_tma(clock, packet->ctc, packet->fc);
	case PTF_PACKET_MTC:
		return take_mtc(clock, packet->mtc);
	case PTF_PACKET_CYC:
		return ptf_clock_cyc(clock, packet->payload);
	case PTF_PACKET_CBR:
		return take_cbr(clock, packet->cbr);
	default:
		return false;
	}
}

/* Is the first packet that matters for flow behind a PSB+ a TIP.PGE? */
static bool pge_comes_first(const uint8_t *bytes, uint64_t size)
{
	struct ptf_packet packet;
	uint64_t at = 0;

	while (at < size) {
		int n = ptf_packet_decode(bytes + at, size - at, &packet);

		if (n <= 0)
			return false;
		at += (uint64_t)n;
		switch (packet.kind) {
		case PTF_PACKET_TIP_PGE:
			return true;
		case PTF_PACKET_PAD:
		case PTF_PACKET_MODE_EXEC:
		case PTF_PACKET_MODE_TSX:
		case PTF_PACKET_PIP:
		case PTF_PACKET_VMCS:
		case PTF_PACKET_CBR:
		case PTF_PACKET_TSC:
		case PTF_PACKET_TMA:
		case PTF_PACKET_MTC:
		case PTF_PACKET_CYC:
			break;
		default:
			return false;
		}
	}
	return false;
}

void ptf_psb_plus_read(struct ptf_psb_plus *plus, const struct ptf_clock_params *params,
        const uint8_t *bytes, uint64_t size)
{
	struct ptf_last_ip last = {0};
	struct ptf_packet packet;
	struct ptf_clock clock;
	uint64_t fup = 0;

	*plus = (struct ptf_psb_plus){.ns = PTF_NO_TIME, .ip = PTF_NO_IP};
	ptf_clock_init(&clock, params);
	while (plus->size < size) {
		int n = ptf_packet_decode(bytes + plus->size, size - plus->size, &packet);

		if (n <= 0)
			break;
		ptf_clock_packet(&clock, &packet);
		if (packet.kind == PTF_PACKET_FUP && ptf_last_ip_update(&last, &packet)) {
			plus->ip = last.ip;
			fup = plus->size;
		}
		plus->size += (uint64_t)n;
		if (packet.kind == PTF_PACKET_PSBEND || packet.kind == PTF_PACKET_OVF)
			break;
	}
	plus->ns = ptf_clock_ns(&clock);
	if (fup && pge_comes_first(bytes + plus->size, size - plus->size)) {
		plus->stale_fup = fup;
		plus->ip = PTF_NO_IP;
	}
}
