/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time of a PT stream: TSC, TMA, MTC, CYC and CBR packets to nanoseconds of the perf clock.
 *
 * SDM volume 3, "Timing packets": a TSC packet gives the time stamp counter; a TMA packet ties it
 * to the crystal clock (CTC); MTC packets count that clock; CYC packets count core cycles, which
 * the CBR packet relates to the TSC. Calibration begins anew at each PSB, so that a segment decodes
 * the same alone and in a sequence. Both engines use this clock.
 */
#ifndef PTF_PT_CLOCK_H
#define PTF_PT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "perfdata/perf_record.h"
#include "pt/pt_packet.h"

struct ptf_clock_params {
	uint16_t time_shift; /* ns = zero + tsc * mult >> shift (perf_event_mmap_page) */
	uint32_t time_mult;  /* 0: no conversion known, TSC ticks are taken as ns */
	uint64_t time_zero;
	uint8_t mtc_shift; /* MTC period is 2^mtc_shift CTC ticks */
	uint32_t tsc_ctc_n,
	        tsc_ctc_d; /* TSC ticks = CTC ticks * n / d; 0: unknown, MTC is not used */
	uint32_t max_nonturbo_ratio; /* TSC ticks per bus cycle; 0: unknown, CYC is not used */
};

/* Params of a file's AUXTRACE_INFO and of its PT event's attr.config; values out of range are
 * taken as unknown. */
void ptf_clock_params_from_info(struct ptf_clock_params *params,
        const struct ptf_record_auxtrace_info *info, uint64_t config);

struct ptf_clock {
	const struct ptf_clock_params *params; /* borrowed */
	bool has_tsc, has_tma;
	uint64_t tsc;       /* now, TSC ticks; only grows between PSBs */
	uint64_t base;      /* TSC at the last TSC or MTC packet */
	uint64_t cycles;    /* core cycles since base */
	uint64_t ctc_tsc;   /* TSC at the CTC edge that TMA refers to */
	uint64_t ctc_ticks; /* CTC ticks since that edge */
	uint8_t last_mtc;   /* payload of the last MTC, or what TMA says it would be */
	uint32_t cbr;       /* core to bus ratio, 0 unknown */
};

/* At the start of a segment (a PSB). */
void ptf_clock_init(struct ptf_clock *clock, const struct ptf_clock_params *params);

/* x * n / d with x * n in 128 bits only where that is needed: the division is 5 times slower. */
static inline uint64_t ptf_mul_div(uint64_t x, uint64_t n, uint64_t d)
{
	if (n == d)
		return x;
	if (x <= UINT32_MAX && n <= UINT32_MAX)
		return x * n / d;
	return (uint64_t)((unsigned __int128)x * n / d);
}

/* Takes a CYC packet; true when the time is known. */
static inline bool ptf_clock_cyc(struct ptf_clock *clock, uint64_t cycles)
{
	const struct ptf_clock_params *params = clock->params;
	uint64_t tsc;

	if (!clock->has_tsc || !params->max_nonturbo_ratio || !clock->cbr)
		return false;
	if (cycles > UINT64_MAX - clock->cycles)
		return false;
	clock->cycles += cycles;
	tsc = clock->base + ptf_mul_div(clock->cycles, params->max_nonturbo_ratio, clock->cbr);
	if (tsc > clock->tsc)
		clock->tsc = tsc;
	return true;
}

/* Takes any packet; true when it was a timing packet that (re)set the time. */
bool ptf_clock_packet(struct ptf_clock *clock, const struct ptf_packet *packet);

/* TSC ticks to perf clock ns. */
static inline uint64_t ptf_clock_params_ns(const struct ptf_clock_params *params, uint64_t tsc)
{
	if (!params->time_mult)
		return tsc;
	return params->time_zero +
	       (uint64_t)((unsigned __int128)tsc * params->time_mult >> params->time_shift);
}

/* Now, perf clock ns; PTF_NO_TIME before the first TSC. */
static inline uint64_t ptf_clock_ns(const struct ptf_clock *clock)
{
	return clock->has_tsc ? ptf_clock_params_ns(clock->params, clock->tsc) : UINT64_MAX;
}

/* What a PSB+ (bytes begin with its PSB) says. */
struct ptf_psb_plus {
	uint64_t size;      /* bytes, PSBEND included; what is there when it is cut off */
	uint64_t ns;        /* perf clock, PTF_NO_TIME: no TSC packet */
	uint64_t ip;        /* where tracing is: its FUP; PTF_NO_IP: tracing is off */
	uint64_t stale_fup; /* offset of a FUP that does not mean that tracing is on: a TIP.PGE
	                     * comes first behind the PSB+ (seen after VM entries); 0: none */
};
void ptf_psb_plus_read(struct ptf_psb_plus *plus, const struct ptf_clock_params *params,
        const uint8_t *bytes, uint64_t size);

#endif
