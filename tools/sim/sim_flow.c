/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated hardware. QEMU calls sim_flow_block at the start of every executed block; what the
 * block before did is known then, by where the flow went.
 *
 * Asynchronous entries are seen at the handler's first block by its signal frame, which also holds
 * the interrupted address. QEMU delivers signals between blocks only, so the block before was
 * completed and the interrupted address is where its last branch went; a fault leaves its block in
 * the middle, and the interrupted address is the faulting instruction.
 */
#include "sim.h"

#include <time.h>
#include <x86intrin.h>

#define DEFAULT_PSB_PERIOD 16384u

static __attribute__((noinline)) uint64_t renew_clock(struct sim_clock *clock)
{
	clock->ns = sim_clock_monotonic();
	clock->tsc = __rdtsc();
	if (clock->ns > clock->last)
		clock->last = clock->ns;
	return clock->last;
}

static inline uint64_t now(struct sim_thread *t)
{
	struct sim_clock *clock = &t->clock;
	uint64_t ticks, ns;

	if (sim.clock == PTF_SIM_CLOCK_INSN)
		return t->insns;
	ticks = __rdtsc() - clock->tsc;
	if (unlikely(ticks > sim.clock_renew_ticks))
		return renew_clock(clock);
	ns = clock->ns + (ticks * sim.ns_per_tick >> SIM_TICK_SHIFT);
	if (likely(ns > clock->last))
		clock->last = ns;
	return clock->last;
}

/* Counts n retired instructions of block. */
static inline void retire(struct sim_thread *t, const struct sim_block *block, uint32_t n)
{
	t->insns += n;
	if (unlikely(t->log != NULL))
		sim_log_block(t, block->pc, n);
}

/* Writes the waiting TNT bits. Looking at the clock at every branch would double the cost of the
 * simulation: with the real clock only a packet that is full is timed by its last branch, one that
 * another packet pushes out is not, which a decoder takes for what it is. */
static inline void settle(struct sim_thread *t)
{
	if (sim.clock == PTF_SIM_CLOCK_INSN)
		ptf_pt_encoder_flush_tnt(&t->encoder, t->tnt_time);
	else
		ptf_pt_encoder_flush_tnt_untimed(&t->encoder);
}

static inline void bit(struct sim_thread *t, bool taken)
{
	t->tnt_time = t->insns;
	if (unlikely(ptf_pt_encoder_tnt(&t->encoder, taken)))
		ptf_pt_encoder_flush_tnt(&t->encoder, now(t));
}

static inline void tip(struct sim_thread *t, uint64_t ip)
{
	settle(t);
	ptf_pt_encoder_tip(&t->encoder, ip, now(t));
}

/* The flow went from the end of p to ip; false when it cannot have done so. */
static inline bool follow(struct sim_thread *t, const struct sim_block *p, uint64_t ip)
{
	switch (p->kind) {
	case SIM_FALL:
		if (unlikely(ip != p->end))
			return false;
		retire(t, p, p->insns);
		return true;
	case SIM_COND:
		if (unlikely(ip != p->end && ip != p->target))
			return false;
		retire(t, p, p->insns);
		bit(t, ip == p->target);
		return true;
	case SIM_JUMP:
		if (unlikely(ip != p->target))
			return false;
		retire(t, p, p->insns);
		return true;
	case SIM_CALL:
		if (unlikely(ip != p->target))
			return false;
		retire(t, p, p->insns);
		ptf_pt_encoder_call(&t->encoder, p->end);
		return true;
	case SIM_INDIRECT_CALL:
		ptf_pt_encoder_call(&t->encoder, p->end);
		/* fall through */
	case SIM_INDIRECT_JUMP:
		retire(t, p, p->insns);
		tip(t, ip);
		return true;
	case SIM_RETURN:
		retire(t, p, p->insns);
		if (likely(ptf_pt_encoder_return(&t->encoder, ip)))
			bit(t, true);
		else
			tip(t, ip);
		return true;
	case SIM_REP:
		if (unlikely(ip != p->end && ip != p->last_pc))
			return false;
		retire(t, p, p->insns - (ip == p->last_pc));
		return true;
	default:
		return false;
	}
}

static inline uint64_t stream_at(const struct sim_thread *t)
{
	return t->offset + t->encoder.n;
}

static void synchronize(struct sim_thread *t, uint64_t ip)
{
	uint32_t period = sim.start.psb_period ? sim.start.psb_period : DEFAULT_PSB_PERIOD;

	settle(t);
	ptf_pt_encoder_psb(&t->encoder, ip, now(t));
	t->psb_at = stream_at(t) + period;
}

/* What cannot wait: a full buffer, a PSB that is due. ip is where the flow goes on. */
static __attribute__((noinline)) void maintain(struct sim_thread *t, uint64_t ip)
{
	if (t->encoder.n >= t->flush_at)
		sim_thread_flush(t, false);
	if (t->overflow) {
		t->overflow = false;
		ptf_pt_encoder_overflow(&t->encoder, ip, now(t));
		t->psb_at = 0;
	}
	if (stream_at(t) >= t->psb_at)
		synchronize(t, ip);
}

/* Packets can no longer say how the flow came to ip. */
static void desync(struct sim_thread *t, uint64_t ip)
{
	sim.desyncs++;
	if (t->log)
		fprintf(stderr, "ptflame-sim: %d: no way from %#lx (%d) to %#lx\n", t->tid,
		        t->prev->pc, t->prev->kind, ip);
	ptf_pt_encoder_overflow(&t->encoder, ip, now(t));
	t->psb_at = 0;
}

/* The block p was left before its end, at ip, or not at all (false). QEMU starts some instructions
 * again in a block of their own (self-modifying code, atomics that it cannot do in parallel). */
static bool leave_midway(struct sim_thread *t, const struct sim_block *p, uint64_t ip)
{
	int n;

	if (ip < p->pc || ip >= p->end || (n = sim_block_insns_before(p, ip)) < 0)
		return false;
	retire(t, p, (uint32_t)n);
	return true;
}

/* A signal's handler was entered after p. */
static void interrupt(
        struct sim_thread *t, const struct sim_block *p, const struct sim_interrupt *how)
{
	bool midway = how->fault && leave_midway(t, p, how->ip);

	if (!midway && p->kind == SIM_FAR && how->ip == p->end) { /* int3: a far branch */
		retire(t, p, p->insns);
		settle(t);
		ptf_pt_encoder_disable(&t->encoder, now(t));
		return;
	}
	if (!midway && !follow(t, p, how->ip) && !leave_midway(t, p, how->ip))
		desync(t, how->ip);
	settle(t);
	ptf_pt_encoder_disable_async(&t->encoder, how->ip, now(t));
}

/* The trace goes on at block, after a system call or an asynchronous entry. */
static void resume(struct sim_thread *t, uint64_t ip)
{
	if (t->encoder.n >= t->flush_at)
		sim_thread_flush(t, false);
	if (t->overflow) {
		t->overflow = false;
		ptf_pt_encoder_overflow(&t->encoder, PTF_PT_NO_IP, now(t));
		t->psb_at = 0;
	}
	if (stream_at(t) >= t->psb_at)
		synchronize(t, PTF_PT_NO_IP);
	ptf_pt_encoder_enable(&t->encoder, ip, now(t));
	t->on = true;
}

static void begin(struct sim_thread *t)
{
	const struct ptf_pt_encoder_config config = {
	        .timing = sim.start.timing,
	        .mtc_freq_bits = PTF_SIM_MTC_FREQ_BITS,
	        .ctc_ratio = PTF_SIM_TSC_CTC_RATIO_N,
	        .cbr = PTF_SIM_MAX_NONTURBO_RATIO,
	        .tnt_max =
	                sim.start.timing == PTF_PT_TIMING_CYC ? PTF_PT_TNT_SHORT : PTF_PT_TNT_LONG,
	        .noretcomp = sim.start.noretcomp,
	};

	ptf_pt_encoder_init(&t->encoder, &config, t->buffer);
	t->flush_at = t->buffer_size - 2 * PTF_PT_ENCODER_ROOM;
	t->offset = 0;
	t->waited_from_ns = t->waited_to_ns = 0;
	t->psb_at = 0;
	t->overflow = t->lost = false;
	t->recording = true;
}

void sim_flow_finish(struct sim_thread *t)
{
	if (!t->recording)
		return;
	if (t->on)
		settle(t);
	sim_thread_flush(t, true);
	sim_log_flush(t);
	t->recording = t->on = false;
}

void sim_flow_finish_at(struct sim_thread *t, uint64_t ip, bool fault)
{
	const struct sim_block *p = t->prev;

	if (t->recording && t->on && p) {
		if (!(fault && leave_midway(t, p, ip)) && !follow(t, p, ip) &&
		        !leave_midway(t, p, ip))
			desync(t, ip);
		settle(t);
		ptf_pt_encoder_disable_async(&t->encoder, ip, now(t));
		t->on = false;
	}
	sim_flow_finish(t);
}

/* Recording was started or stopped since the thread's last block. */
static void change_epoch(struct sim_thread *t, const struct sim_block *block, const uint64_t *regs)
{
	uint32_t epoch = sim.epoch;
	struct sim_interrupt how;

	if (t->on && block->handler && sim_signal_entered(regs, block, &how)) {
		interrupt(t, t->prev, &how);
		t->on = false;
	}
	sim_flow_finish_at(t, block->pc, false);
	if (sim.recording && sim_thread_buffer(t)) {
		sim_stack_send(t, block->pc);
		begin(t);
	}
	t->epoch = epoch;
}

/* Everything but a step of a running trace. */
static __attribute__((noinline)) void step_slow(
        struct sim_thread *t, const struct sim_block *p, struct sim_block *block)
{
	if (t->epoch != sim.epoch)
		change_epoch(t, block, t->regs);
	else if (p && !t->on && p->kind != SIM_FAR && sim.clock == PTF_SIM_CLOCK_INSN)
		t->insns += p->insns;
	if (t->recording && !t->on)
		resume(t, block->pc);
	t->fresh = false;
	t->prev = block;
}

/* QEMU starts a block again for one instruction that writes to the block itself. */
static inline bool restarted(const struct sim_block *p, const struct sim_block *block)
{
	return block->pc == p->pc && block->insns == 1 && p->insns > 1;
}

/* The flow went from p to a block that it could not reach, or that handles signals. */
static __attribute__((noinline)) void step_strange(struct sim_thread *t, const struct sim_block *p,
        struct sim_block *block, const uint64_t *regs)
{
	struct sim_interrupt how;

	if (block->handler && sim_signal_entered(regs, block, &how)) {
		interrupt(t, p, &how);
		t->on = false;
		resume(t, block->pc);
	} else if (p->kind == SIM_FAR) {
		retire(t, p, p->insns);
		settle(t);
		ptf_pt_encoder_disable(&t->encoder, now(t));
		resume(t, block->pc);
	} else if (restarted(p, block)) {
		leave_midway(t, p, block->pc);
	} else if (!follow(t, p, block->pc) && !leave_midway(t, p, block->pc)) {
		desync(t, block->pc);
	}
}

void sim_flow_block(unsigned vcpu, struct sim_block *block, const uint64_t *regs)
{
	struct sim_thread *t = sim_thread_self();
	struct sim_block *p;

	if (unlikely(!t))
		t = sim_thread_enter(vcpu);
	p = t->prev;
	if (unlikely(!t->on || t->epoch != sim.epoch)) {
		t->regs = regs;
		step_slow(t, p, block);
		return;
	}
	t->prev = block;
	if (unlikely(block->handler || restarted(p, block)) || unlikely(!follow(t, p, block->pc)))
		step_strange(t, p, block, regs);
	if (unlikely(t->encoder.n >= t->flush_at || stream_at(t) >= t->psb_at))
		maintain(t, block->pc);
}

void sim_flow_syscall(struct sim_thread *t)
{
	if (t->prev)
		t->insns += !t->on ? t->prev->insns : 0;
	if (t->on) {
		retire(t, t->prev, t->prev->insns);
		settle(t);
		ptf_pt_encoder_disable(&t->encoder, now(t));
		t->on = false;
	}
	if (t->epoch != sim.epoch) {
		sim_flow_finish(t);
		if (sim.recording && sim_thread_buffer(t)) {
			sim_stack_send(t, t->regs ? sim_signal_next_ip(t->regs) : 0);
			begin(t);
		}
		t->epoch = sim.epoch;
	}
	t->fresh = false;
}
