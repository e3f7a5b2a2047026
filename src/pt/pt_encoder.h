/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encoder of Intel PT packets (Intel SDM volume 3, "Intel Processor Trace"): the packet side of
 * the simulated PT hardware.
 *
 * The caller says what the program did (branch, call, return, indirect target, trace off and on)
 * and when; the encoder packs TNT bits, compresses IPs and returns, and puts timing packets where
 * the hardware puts them: CYC directly before the packet that it times and before each MTC and
 * TSC. Times are TSC ticks; one core cycle is one tick (the CBR says so), which never go back.
 *
 * The caller owns the buffer: before each step it makes sure that PTF_PT_ENCODER_ROOM bytes are
 * free, and it may take bytes [0, n) and set n to 0 after any step (packets are whole). TNT bits
 * that are not yet a packet stay in the encoder until ptf_pt_encoder_flush_tnt.
 */
#ifndef PTF_PT_ENCODER_H
#define PTF_PT_ENCODER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The most bytes that one step can write: TNT, OVF, PSB+, FUP and TIP with their timing. */
#define PTF_PT_ENCODER_ROOM 192u

#define PTF_PT_NO_IP UINT64_MAX /* PSB+ while the trace is off: no FUP */
#define PTF_PT_RETURNS 64u      /* calls that returns are compressed against */
#define PTF_PT_TNT_SHORT 6u     /* branches of a one-byte TNT */
#define PTF_PT_TNT_LONG 47u     /* branches of an eight-byte TNT */

enum ptf_pt_timing {
	PTF_PT_TIMING_CYC, /* CYC before every TNT and TIP, MTC, TSC */
	PTF_PT_TIMING_MTC, /* MTC and TSC */
	PTF_PT_TIMING_TSC, /* TSC with PSB, and around long trace-off periods */
};

struct ptf_pt_encoder_config {
	enum ptf_pt_timing timing;
	unsigned mtc_freq_bits; /* an MTC every 2^n CTC ticks */
	unsigned ctc_ratio;     /* TSC ticks of one CTC tick */
	unsigned cbr;           /* core:bus ratio that CBR packets give */
	unsigned tnt_max;       /* bits after which a TNT is written: PTF_PT_TNT_SHORT or _LONG */
	bool noretcomp;         /* all returns as TIP */
};

struct ptf_pt_encoder {
	struct ptf_pt_encoder_config config;
	uint8_t *bytes;                   /* caller's buffer */
	uint64_t n;                       /* bytes written to it */
	uint64_t last_ip;                 /* for IP compression */
	uint64_t tnt;                     /* bits waiting, the latest lowest */
	uint32_t tnt_n;                   /* how many */
	uint32_t return_n;                /* valid entries of returns, at most PTF_PT_RETURNS */
	uint64_t time;                    /* TSC up to which timing packets have told the time */
	uint64_t mtc_next;                /* TSC of the next MTC */
	uint64_t mtc_ticks;               /* TSC ticks between MTCs */
	uint32_t return_at;               /* index of the next entry to write */
	uint64_t returns[PTF_PT_RETURNS]; /* ring of return addresses */
};

/* All state is reset; the first step should be ptf_pt_encoder_psb. */
void ptf_pt_encoder_init(
        struct ptf_pt_encoder *e, const struct ptf_pt_encoder_config *config, uint8_t *bytes);

/* PSB+: PSB, TSC, TMA, CBR, MODE.Exec (64 bit), FUP ip unless PTF_PT_NO_IP, PSBEND. Flushes TNT
 * bits before it; forgets calls and the last IP. */
void ptf_pt_encoder_psb(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time);

/* TIP.PGE: the trace goes on at ip. */
void ptf_pt_encoder_enable(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time);

/* TIP.PGD without IP: off at the far branch that the flow reaches next (a system call). */
void ptf_pt_encoder_disable(struct ptf_pt_encoder *e, uint64_t time);

/* FUP ip, TIP.PGD: off asynchronously, before the instruction at ip. */
void ptf_pt_encoder_disable_async(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time);

/* OVF: packets were lost; forgets waiting bits, calls, the last IP and the time. The trace goes on
 * at ip (FUP), or stays off with PTF_PT_NO_IP. */
void ptf_pt_encoder_overflow(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time);

/* TIP: an indirect branch (or an uncompressed return) went to ip. */
void ptf_pt_encoder_tip(struct ptf_pt_encoder *e, uint64_t ip, uint64_t time);

/* Writes waiting TNT bits as a packet whose last branch was at `time`. */
void ptf_pt_encoder_flush_tnt(struct ptf_pt_encoder *e, uint64_t time);

/* The same, not timed: when nobody looked at the clock at the last branch. */
void ptf_pt_encoder_flush_tnt_untimed(struct ptf_pt_encoder *e);

/* Adds a TNT bit; true when the packet is full and must be flushed before the next step. */
static inline bool ptf_pt_encoder_tnt(struct ptf_pt_encoder *e, bool taken)
{
	e->tnt = e->tnt << 1 | taken;
	return ++e->tnt_n >= e->config.tnt_max;
}

/* A near call pushed return_address. Not for a direct call to the next instruction, which the
 * hardware does not count as a call. */
static inline void ptf_pt_encoder_call(struct ptf_pt_encoder *e, uint64_t return_address)
{
	e->returns[e->return_at] = return_address;
	e->return_at = (e->return_at + 1) % PTF_PT_RETURNS;
	e->return_n += e->return_n < PTF_PT_RETURNS;
}

/* A near return went to ip: true when it is where the last call wants it and so is a taken TNT
 * bit, false when it needs a TIP. After a return that misses, decoders differ on whether its entry
 * was popped: the older calls are forgotten, so that nothing depends on it. */
static inline bool ptf_pt_encoder_return(struct ptf_pt_encoder *e, uint64_t ip)
{
	uint32_t top = (e->return_at - 1) % PTF_PT_RETURNS;

	if (!e->return_n || e->config.noretcomp)
		return false;
	if (e->returns[top] != ip) {
		e->return_n = 0;
		return false;
	}
	e->return_at = top;
	e->return_n--;
	return true;
}

#endif
