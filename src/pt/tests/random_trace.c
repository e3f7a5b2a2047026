/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <string.h>

#include "pt/tests/random_trace.h"

enum {
	RETURNS = 64, /* depth of return compression */
};

/* The hardware and the program that it traces. */
struct machine {
	struct ptf_random_trace *trace;
	const struct ptf_random_program *program;
	struct ptf_random *random;
	size_t at; /* index of the next instruction */
	bool on;
	bool no_retcomp, long_tnt, timing, all_ipc;
	unsigned tnt_max;
	uint64_t tnt;
	unsigned tnt_n;
	bool tip_waits; /* a deferred TIP follows the TNT in hand */
	uint64_t waiting_tip;
	uint64_t last_ip;
	uint64_t returns[RETURNS]; /* what returns are compressed against; ring */
	size_t return_top, return_n;
	size_t stack[256]; /* indexes of instructions behind calls */
	size_t depth;
	/* The stretch since the last branch that needs a packet, and where it has been: in a loop
	 * without such a branch no decoder knows how often it ran. */
	unsigned stretch;
	unsigned seen[PTF_RANDOM_MAX_INSNS];
	uint8_t mtc;
	uint64_t tsc;
	bool jumped;   /* here, by a direct jump or call */
	unsigned rare; /* one step in so many has an event */
};

/* ---- bytes ---- */

static void put(struct machine *m, uint64_t value, size_t size)
{
	assert(m->trace->n + size <= PTF_TRACE_MAX_BYTES);
	memcpy(m->trace->bytes + m->trace->n, &value, size);
	m->trace->n += size;
}

static void put_ext(struct machine *m, uint8_t opcode)
{
	put(m, 2, 1);
	put(m, opcode, 1);
}

static void put_cyc(struct machine *m)
{
	uint64_t cycles = ptf_random_next(m->random) >> (40 + ptf_random_below(m->random, 24));
	uint8_t byte = (uint8_t)((cycles & 0x1f) << 3 | 3);

	cycles >>= 5;
	put(m, byte | (cycles ? 4 : 0), 1);
	while (cycles) {
		byte = (uint8_t)((cycles & 0x7f) << 1);
		cycles >>= 7;
		put(m, byte | (cycles ? 1 : 0), 1);
	}
}

static void put_tsc(struct machine *m)
{
	m->tsc += ptf_random_below(m->random, 100000);
	put(m, 0x19, 1);
	put(m, m->tsc, 7);
}

static void put_tma(struct machine *m)
{
	put_ext(m, 0x73);
	put(m, ptf_random_next(m->random) & 0xffff, 2);
	put(m, 0, 1);
	put(m, ptf_random_below(m->random, 512), 2);
}

static void put_cbr(struct machine *m)
{
	put_ext(m, 0x03);
	put(m, 8 + ptf_random_below(m->random, 40), 1);
	put(m, 0, 1);
}

static void put_mtc(struct machine *m)
{
	m->mtc = (uint8_t)(m->mtc + 1 + ptf_random_below(m->random, 3));
	put(m, 0x59, 1);
	put(m, m->mtc, 1);
}

/* Timing packets, PAD and others that may stand between any two packets. */
static void put_timing(struct machine *m)
{
	if (ptf_random_one_in(m->random, 40))
		put(m, 0, 1);
	if (!m->timing)
		return;
	if (ptf_random_one_in(m->random, 8))
		put_mtc(m);
	if (ptf_random_one_in(m->random, 60)) {
		put_tsc(m);
		if (ptf_random_one_in(m->random, 2))
			put_tma(m);
	}
	if (!ptf_random_one_in(m->random, 3))
		put_cyc(m);
}

static int64_t extended(uint64_t ip)
{
	return (int64_t)(ip << 16) >> 16;
}

/* A packet with an IP, compressed in one of the ways that give it back. */
static void put_ip(struct machine *m, uint8_t opcode, uint64_t ip)
{
	static const uint8_t sizes[] = {0, 2, 4, 6, 6, 0, 8};
	uint64_t changed = ip ^ m->last_ip;
	unsigned ipc = (uint64_t)extended(ip) == ip ? 3 : 6;

	if (ptf_random_one_in(m->random, 9))
		ipc = 6;
	if (changed >> 48 == 0 && ptf_random_one_in(m->random, 3))
		ipc = 4;
	if (changed >> 32 == 0 && !ptf_random_one_in(m->random, 4))
		ipc = 2;
	if (changed >> 16 == 0 && !ptf_random_one_in(m->random, 4))
		ipc = 1;
	put(m, opcode | ipc << 5, 1);
	put(m, ip, sizes[ipc]);
	m->last_ip = ip;
}

enum { TIP = 0x0d, TIP_PGE = 0x11, TIP_PGD = 0x01, FUP = 0x1d };

static void put_suppressed(struct machine *m, uint8_t opcode)
{
	put(m, opcode, 1);
}

/* The TNT bits that wait, and the TIP behind them. */
static void flush(struct machine *m)
{
	if (m->tnt_n) {
		put_timing(m);
		if (m->tnt_n <= 6 && !(m->long_tnt && ptf_random_one_in(m->random, 3))) {
			put(m, (1ull << m->tnt_n | m->tnt) << 1, 1);
		} else {
			put_ext(m, 0xa3);
			put(m, 1ull << m->tnt_n | m->tnt, 6);
		}
		m->tnt = 0;
		m->tnt_n = 0;
	}
	if (m->tip_waits) {
		put_timing(m);
		m->tip_waits = false;
		put_ip(m, TIP, m->waiting_tip);
	}
}

static void add_bit(struct machine *m, bool bit)
{
	m->stretch++;
	m->tnt = m->tnt << 1 | bit;
	if (++m->tnt_n >= m->tnt_max || ptf_random_one_in(m->random, 12))
		flush(m);
}

static uint64_t ip_of(const struct machine *m, size_t insn)
{
	return m->program->insns[insn].ip;
}

/* An indirect branch went to an instruction. Its TIP may come behind later TNT bits. */
static void add_tip(struct machine *m, size_t to)
{
	m->stretch++;
	if (m->tip_waits)
		flush(m);
	m->tip_waits = true;
	m->waiting_tip = ip_of(m, to);
	if (!m->tnt_n || !ptf_random_one_in(m->random, 3))
		flush(m);
	m->at = to;
}

/* ---- PSB, overflow ---- */

static void forget(struct machine *m)
{
	m->return_n = 0;
	m->last_ip = 0;
}

static void put_psb(struct machine *m)
{
	struct ptf_random_trace *trace = m->trace;

	if (trace->n_psbs == PTF_TRACE_MAX_PSBS)
		return;
	flush(m);
	trace->psbs[trace->n_psbs] = trace->n;
	for (unsigned i = 0; i < 8; i++)
		put_ext(m, 0x82);
	forget(m);
	put_tsc(m);
	if (ptf_random_one_in(m->random, 2))
		put_tma(m);
	if (!ptf_random_one_in(m->random, 5))
		put_cbr(m);
	if (ptf_random_one_in(m->random, 9)) {
		put_ext(m, 0x43); /* PIP */
		put(m, 0x123456, 6);
	}
	if (ptf_random_one_in(m->random, 9)) {
		put_ext(m, 0xc8); /* VMCS */
		put(m, 0x1234, 5);
	}
	put(m, 0x99, 1); /* MODE.Exec: 64 bit */
	put(m, 1, 1);
	if (ptf_random_one_in(m->random, 3)) {
		put(m, 0x99, 1); /* MODE.TSX */
		put(m, 0x20, 1);
	}
	if (m->on)
		put_ip(m, FUP, ip_of(m, m->at));
	put_ext(m, 0x23);
	trace->psb_ends[trace->n_psbs++] = trace->n;
}

static size_t anywhere(struct machine *m)
{
	return ptf_random_below(m->random, m->program->n);
}

static void overflow(struct machine *m)
{
	/* What waits is lost. */
	m->tnt_n = 0;
	m->tnt = 0;
	m->tip_waits = false;
	m->stretch++;
	put_ext(m, 0xf3);
	forget(m);
	m->on = !ptf_random_one_in(m->random, 3);
	m->at = anywhere(m);
	m->depth = 0;
	if (m->timing && ptf_random_one_in(m->random, 2))
		put_tsc(m);
	if (m->timing && ptf_random_one_in(m->random, 2))
		put_mtc(m);
	if (m->on)
		put_ip(m, FUP, ip_of(m, m->at));
	else if (ptf_random_one_in(m->random, 2))
		put_ext(m, 0x83); /* TraceStop */
}

/* ---- packets that only tell ---- */

/* A PEBS record: a block of items, which outside of it would be TNT. */
static void put_pebs_block(struct machine *m)
{
	size_t from = m->trace->n, item = ptf_random_one_in(m->random, 2) ? 4 : 8;

	put_ext(m, 0x63); /* BBP */
	put(m, (item == 4 ? 0x80 : 0) | ptf_random_below(m->random, 32), 1);
	for (size_t n = 1 + ptf_random_below(m->random, 5); n; n--) {
		put(m, ptf_random_below(m->random, 32) << 3 | 4, 1);
		put(m, ptf_random_next(m->random), item);
	}
	put_ext(m, 0x33); /* BEP */
	memset(m->trace->known + from, 1, m->trace->n - from);
}

static void put_event_packet(struct machine *m)
{
	flush(m);
	put_timing(m);
	switch (ptf_random_below(m->random, m->on ? 8 : 12)) {
	case 7:
		put_pebs_block(m);
		return;
	case 0:
		put_cbr(m);
		return;
	case 1:
		put_ext(m, 0x22); /* PWRE */
		put(m, 0x1234, 2);
		return;
	case 2:
		put_ext(m, 0xa2); /* PWRX */
		put(m, 0x12, 5);
		return;
	case 3:
		put_ext(m, 0xc3); /* MNT */
		put(m, 0x88, 1);
		put(m, 0x0102030405060708, 8);
		return;
	case 4:
		put_ext(m, 0x62); /* EXSTOP */
		return;
	case 5:
		put_ext(m, 0x53); /* EVD */
		put(m, 0, 1);
		put(m, ptf_random_next(m->random), 8);
		return;
	case 6:
		put_ext(m, 0x13); /* CFE without IP */
		put(m, 1, 1);
		put(m, 3, 1);
		return;
	case 8:
		put_ext(m, 0x43); /* PIP */
		put(m, ptf_random_next(m->random) & 0xffffff, 6);
		return;
	case 9:
		put_ext(m, 0xc8); /* VMCS */
		put(m, 0x77, 5);
		return;
	case 10:
		put(m, 0x99, 1); /* MODE.TSX */
		put(m, 0x20, 1);
		return;
	case 11:
		put_ext(m, 0x83); /* TraceStop */
		return;
	default:
		return;
	}
}

/* Packets whose FUP says at which instruction they are. */
static void put_located_packet(struct machine *m)
{
	flush(m);
	put_timing(m);
	switch (ptf_random_below(m->random, 3)) {
	case 0:
		put_ext(m, 0xe2); /* EXSTOP with IP */
		break;
	case 1:
		put_ext(m, 0xc2); /* MWAIT */
		put(m, 0x20, 8);
		break;
	default:
		put(m, 0x99, 1); /* MODE.TSX */
		put(m, 0x20 | ptf_random_below(m->random, 2), 1);
		break;
	}
	put_ip(m, FUP, ip_of(m, m->at));
}

/* ---- off and on ---- */

static void switch_on(struct machine *m, size_t at)
{
	m->stretch++;
	put_timing(m);
	if (ptf_random_one_in(m->random, 6)) {
		put(m, 0x99, 1); /* MODE.Exec */
		put(m, 1, 1);
	}
	m->at = at;
	m->on = true;
	put_ip(m, TIP_PGE, ip_of(m, at));
}

static void interrupt(struct machine *m)
{
	size_t to = anywhere(m);

	flush(m);
	put_timing(m);
	if (ptf_random_one_in(m->random, 10)) {
		put(m, 0x99, 1); /* MODE.TSX: an abort */
		put(m, 0x22, 1);
	}
	put_ip(m, FUP, ip_of(m, m->at));
	if (m->timing && ptf_random_one_in(m->random, 3))
		put_cyc(m);
	if (ptf_random_one_in(m->random, 3)) {
		put_ip(m, TIP, ip_of(m, to));
		m->at = to;
		m->stretch++;
		return;
	}
	if (ptf_random_one_in(m->random, 2))
		put_suppressed(m, TIP_PGD);
	else
		put_ip(m, TIP_PGD, ip_of(m, to));
	m->on = false;
}

/* Code that an address filter leaves out. A decoder that is told of a place where it could stop
 * earlier would do so. */
enum { FILTERED_IP = 0x500000 };

/* Tracing stops at the branch that runs now; it goes on at `to`. */
static void stop_at_branch(struct machine *m, size_t to, bool with_ip)
{
	flush(m);
	put_timing(m);
	if (with_ip)
		put_ip(m, TIP_PGD, FILTERED_IP + ptf_random_below(m->random, 1000));
	else
		put_suppressed(m, TIP_PGD);
	m->on = false;
	m->at = to;
}

/* ---- instructions ---- */

static void push_return(struct machine *m, size_t next)
{
	m->returns[m->return_top++ % RETURNS] = ip_of(m, next);
	m->return_n += m->return_n < RETURNS;
}

static void call(struct machine *m, size_t next)
{
	if (next < m->program->n && m->depth < sizeof(m->stack) / sizeof(m->stack[0]))
		m->stack[m->depth++] = next;
}

static void run_return(struct machine *m)
{
	size_t to =
	        m->depth && !ptf_random_one_in(m->random, 12) ? m->stack[--m->depth] : anywhere(m);

	if (ptf_random_one_in(m->random, 60)) {
		stop_at_branch(m, to, ptf_random_one_in(m->random, 2));
		return;
	}
	/* A deferred TIP must be written before a return could be compressed past it. */
	if (m->return_n && !m->no_retcomp &&
	        m->returns[(m->return_top - 1) % RETURNS] == ip_of(m, to)) {
		m->return_top--;
		m->return_n--;
		m->at = to;
		add_bit(m, true);
		return;
	}
	/* Decoders differ on whether its entry was popped: nothing may depend on it. */
	flush(m);
	m->return_n = 0;
	add_tip(m, to);
	flush(m);
}

static void run_far(struct machine *m, const struct ptf_random_insn *insn)
{
	size_t next = m->at + 1 < m->program->n ? m->at + 1 : 0, to = anywhere(m);

	if (insn->is_syscall || ptf_random_one_in(m->random, 2)) {
		stop_at_branch(m, ptf_random_one_in(m->random, 6) ? to : next, false);
		return;
	}
	flush(m);
	add_tip(m, to);
	flush(m);
}

static void run_branch(struct machine *m, const struct ptf_random_insn *insn)
{
	size_t next = m->at + 1, to = insn->direct ? insn->target : anywhere(m);
	bool taken = ptf_random_one_in(m->random, 2);

	switch (insn->insn_class) {
	case PTF_INSN_COND_JUMP:
		m->at = taken ? to : next;
		add_bit(m, taken);
		return;
	case PTF_INSN_CALL:
		call(m, next);
		if (next < m->program->n && !(insn->direct && to == next))
			push_return(m, next);
		break;
	case PTF_INSN_RETURN:
		run_return(m);
		return;
	case PTF_INSN_JUMP:
		break;
	default:
		run_far(m, insn);
		return;
	}
	if (!insn->direct && ptf_random_one_in(m->random, 40))
		stop_at_branch(m, to, ptf_random_one_in(m->random, 2));
	else if (!insn->direct)
		add_tip(m, to);
	else
		m->at = to;
}

static void run_ptwrite(struct machine *m, const struct ptf_random_insn *insn)
{
	/* libipt 2.0.5 puts a direct jump and the PTWRITE that it leads to into one block, when the
	 * PTW says where it is: such a jump is not seen. */
	bool with_ip = !m->jumped && ptf_random_one_in(m->random, 2);

	m->at++;
	if (ptf_random_one_in(m->random, 3))
		return; /* not enabled */
	flush(m);
	put_timing(m);
	put_ext(m, (uint8_t)(0x12 | (with_ip ? 0x80 : 0) | 0x20));
	put(m, 0x1122334455667788, 8);
	if (with_ip)
		put_ip(m, FUP, insn->ip);
}

static void step(struct machine *m)
{
	const struct ptf_random_insn *insn = &m->program->insns[m->at];

	m->seen[m->at] = m->stretch;
	if (insn->insn_class == PTF_INSN_OTHER)
		m->at++;
	else if (insn->insn_class == PTF_INSN_PTWRITE)
		run_ptwrite(m, insn);
	else
		run_branch(m, insn);
	m->jumped = insn->direct && insn->insn_class != PTF_INSN_COND_JUMP;
}

/* What may come between any two instructions. */
static void happen(struct machine *m)
{
	if (m->on && m->seen[m->at] == m->stretch)
		overflow(m);
	if (m->on && ptf_random_one_in(m->random, m->rare))
		interrupt(m);
	if (ptf_random_one_in(m->random, m->rare * 2))
		overflow(m);
	if (ptf_random_one_in(m->random, m->rare))
		put_psb(m);
	if (ptf_random_one_in(m->random, m->rare))
		put_event_packet(m);
	if (m->on && ptf_random_one_in(m->random, m->rare))
		put_located_packet(m);
	if (!m->on && ptf_random_one_in(m->random, 2))
		switch_on(m, ptf_random_one_in(m->random, 4) ? anywhere(m) : m->at);
}

void ptf_random_trace_make(struct ptf_random_trace *trace, const struct ptf_random_program *program,
        struct ptf_random *random, size_t steps)
{
	struct machine m = {.trace = trace, .program = program, .random = random};

	trace->n = trace->n_psbs = 0;
	memset(trace->known, 0, sizeof(trace->known));
	m.at = anywhere(&m);
	m.on = !ptf_random_one_in(random, 4);
	m.no_retcomp = ptf_random_one_in(random, 4);
	m.long_tnt = ptf_random_one_in(random, 2);
	m.timing = !ptf_random_one_in(random, 5);
	m.tnt_max = ptf_random_one_in(random, 2) ? 6 : 1 + (unsigned)ptf_random_below(random, 47);
	m.rare = 20 + (unsigned)ptf_random_below(random, 600);
	m.tsc = 1000000;
	m.stretch = 1;
	put_psb(&m);
	while (steps-- && trace->n < PTF_TRACE_MAX_BYTES - 1024) {
		happen(&m);
		if (m.on)
			step(&m);
	}
	flush(&m);
	/* Ones mark what is to be left out. */
	for (size_t i = 0; i < trace->n; i++)
		trace->known[i] = trace->known[i] ? 0 : trace->bytes[i];
}
