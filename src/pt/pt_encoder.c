/* SPDX-License-Identifier: BSD-2-Clause */
#include "pt/pt_encoder.h"

/* After so many MTC periods without a packet a decoder could miss a turn of the 8-bit counter:
 * the time is told again by TSC and TMA. */
#define MTC_PERIODS_MAX 200u

/* Without CYC and MTC: a pause after which the time is told by a TSC. */
#define TSC_PAUSE_TICKS 500u

static void put8(struct ptf_pt_encoder *e, uint8_t byte)
{
	e->bytes[e->n++] = byte;
}

/* The low `size` bytes of value. */
static void put(struct ptf_pt_encoder *e, uint64_t value, unsigned size)
{
	memcpy(e->bytes + e->n, &value, sizeof(value));
	e->n += size;
}

static void put_ext(struct ptf_pt_encoder *e, uint8_t opcode)
{
	put8(e, 0x02);
	put8(e, opcode);
}

static void put_cyc(struct ptf_pt_encoder *e, uint64_t cycles)
{
	uint8_t byte = (uint8_t)((cycles & 0x1f) << 3 | 3);

	cycles >>= 5;
	put8(e, byte | (cycles ? 4 : 0));
	while (cycles) {
		byte = (uint8_t)((cycles & 0x7f) << 1);
		cycles >>= 7;
		put8(e, byte | (cycles ? 1 : 0));
	}
}

static void set_mtc_next(struct ptf_pt_encoder *e)
{
	e->mtc_next = e->time - e->time % e->mtc_ticks + e->mtc_ticks;
}

/* TSC and, where the CTC counts, TMA: time starts anew. */
static void put_tsc(struct ptf_pt_encoder *e, uint64_t time)
{
	put8(e, 0x19);
	put(e, time, 7);
	if (e->config.timing != PTF_PT_TIMING_TSC) {
		put_ext(e, 0x73);
		put(e, time / e->config.ctc_ratio & 0xffff, 2);
		put8(e, 0);
		put(e, time % e->config.ctc_ratio & 0x1ff, 2);
	}
	e->time = time;
	set_mtc_next(e);
}

/* The cycles since the last timing packet. */
static inline void count_cycles(struct ptf_pt_encoder *e, uint64_t time)
{
	if (e->config.timing == PTF_PT_TIMING_CYC && time > e->time)
		put_cyc(e, time - e->time);
	e->time = time;
}

static __attribute__((noinline)) void pass_mtc(struct ptf_pt_encoder *e, uint64_t time)
{
	uint64_t edge = time - time % e->mtc_ticks;

	if ((edge - e->mtc_next) / e->mtc_ticks >= MTC_PERIODS_MAX) {
		count_cycles(e, time);
		put_tsc(e, time);
		return;
	}
	count_cycles(e, edge);
	put8(e, 0x59);
	put8(e, (uint8_t)(edge / e->config.ctc_ratio >> e->config.mtc_freq_bits));
	e->mtc_next = edge + e->mtc_ticks;
}

/* Puts the timing packets that belong before a packet at `time`. */
static inline void tell_time(struct ptf_pt_encoder *e, uint64_t time)
{
	if (e->config.timing == PTF_PT_TIMING_TSC || time <= e->time)
		return;
	if (time >= e->mtc_next)
		pass_mtc(e, time);
	count_cycles(e, time);
}

static void tell_pause(struct ptf_pt_encoder *e, uint64_t time)
{
	if (e->config.timing != PTF_PT_TIMING_TSC)
		tell_time(e, time);
	else if (time >= e->time + TSC_PAUSE_TICKS)
		put_tsc(e, time);
}

/* A packet with an IP payload, compressed against the last IP. */
static void put_ip(struct ptf_pt_encoder *e, uint8_t opcode, uint64_t ip)
{
	uint64_t changed = ip ^ e->last_ip;

	e->last_ip = ip;
	if (changed >> 16 == 0) {
		put8(e, opcode | 1 << 5);
		put(e, ip, 2);
	} else if (changed >> 32 == 0) {
		put8(e, opcode | 2 << 5);
		put(e, ip, 4);
	} else if ((uint64_t)((int64_t)(ip << 16) >> 16) == ip) {
		put8(e, opcode | 3 << 5);
		put(e, ip, 6);
	} else {
		put8(e, opcode | 6 << 5);
		put(e, ip, 8);
	}
}

static void forget(struct ptf_pt_encoder *e)
{
	e->last_ip = 0;
	e->tnt_n = 0;
	e->tnt = 0;
	e->return_n = 0;
}

void ptf_pt_encoder_init(
        struct ptf_pt_encoder *e, const struct ptf_pt_encoder_config *config, uint8_t *bytes)
{
	memset(e, 0, sizeof(*e));
	e->config = *config;
	e->bytes = bytes;
	e->mtc_ticks = (uint64_t)config->ctc_ratio << config->mtc_freq_bits;
}

void ptf_pt_encoder_flush_tnt_untimed(struct ptf_pt_encoder *e)
{
	uint64_t payload = 1ull << e->tnt_n | e->tnt;

	if (!e->tnt_n)
		return;
	if (e->tnt_n <= PTF_PT_TNT_SHORT) {
		put8(e, (uint8_t)(payload << 1));
	} else {
		put_ext(e, 0xa3);
		put(e, payload, 6);
	}
	e->tnt = 0;
	e->tnt_n = 0;
}

void ptf_pt_encoder_flush_tnt(struct ptf_pt_encoder *e, uint64_t time)
{
	if (!e->tnt_n)
		return;
	tell_time(e, time);
	ptf_pt_encoder_flush_tnt_untimed(e);
}

void ptf_pt_encoder_psb(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time)
{
	unsigned i;

	ptf_pt_encoder_flush_tnt_untimed(e);
	for (i = 0; i < 8; i++)
		put_ext(e, 0x82);
	forget(e);
	if (e->time)
		count_cycles(e, time);
	put_tsc(e, time);
	put_ext(e, 0x03); /* CBR */
	put(e, e->config.cbr, 2);
	put8(e, 0x99); /* MODE.Exec: CS.L */
	put8(e, 0x01);
	if (ip != PTF_PT_NO_IP)
		put_ip(e, 0x1d, ip);
	put_ext(e, 0x23); /* PSBEND */
}

void ptf_pt_encoder_enable(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time)
{
	tell_pause(e, time);
	put_ip(e, 0x11, ip);
}

void ptf_pt_encoder_disable(struct ptf_pt_encoder *e, uint64_t time)
{
	ptf_pt_encoder_flush_tnt_untimed(e);
	tell_pause(e, time);
	put8(e, 0x01);
}

void ptf_pt_encoder_disable_async(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time)
{
	ptf_pt_encoder_flush_tnt_untimed(e);
	tell_pause(e, time);
	put_ip(e, 0x1d, ip);
	put8(e, 0x01);
}

void ptf_pt_encoder_overflow(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time)
{
	forget(e);
	put_ext(e, 0xf3);
	put_tsc(e, time);
	if (ip != PTF_PT_NO_IP)
		put_ip(e, 0x1d, ip);
}

void ptf_pt_encoder_tip(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time)
{
	ptf_pt_encoder_flush_tnt_untimed(e);
	tell_time(e, time);
	put_ip(e, 0x0d, ip);
}
