/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "pt/run_span.h"

size_t ptf_run_spans_find(const struct ptf_run_span *spans, size_t n, size_t from, uint64_t ns)
{
	while (from + 1 < n) {
		size_t middle = from + (n - from) / 2;

		if (spans[middle].from_ns <= ns)
			from = middle;
		else
			n = middle;
	}
	return from;
}

/* Code that ran without a pause. */
struct stretch {
	bool on;           /* it is going on */
	bool exact;        /* first_ns is no guess */
	uint64_t on_ns;    /* what a decoder takes its begin for */
	uint64_t first_ns; /* when it ran for certain, the earliest known */
};

struct fit {
	struct ptf_run_spans *spans;
	size_t next; /* the first span whose place is not decided */
	struct ptf_clock clock;
	struct stretch stretch;
	bool overflowed; /* an OVF packet has come; a FUP says that code runs on */
};

/* Does a switch at ns belong to the begin of the stretch, which ended at off_ns? */
static bool belongs_to_begin(const struct stretch *stretch, uint64_t ns, uint64_t off_ns)
{
	if (ns <= stretch->first_ns)
		return true;
	return ns < off_ns && ns - stretch->first_ns <= PTF_SPAN_SKEW_NS &&
	       ns - stretch->first_ns <= off_ns - ns;
}

/* The stretch is over: spans that begin in it get its begin, or stay (a decoder looks for the next
 * span only where the next stretch begins). */
static void end_stretch(struct fit *fit)
{
	uint64_t off_ns = ptf_clock_ns(&fit->clock);

	if (!fit->stretch.on)
		return;
	fit->stretch.on = false;
	for (; fit->next < fit->spans->n; fit->next++) {
		struct ptf_run_span *span = &fit->spans->v[fit->next];

		if (span->from_ns <= fit->stretch.on_ns)
			continue;
		if (belongs_to_begin(&fit->stretch, span->from_ns, off_ns))
			span->from_ns = fit->stretch.on_ns;
		else if (span->from_ns >= off_ns)
			return;
	}
}

static void begin_stretch(struct fit *fit, bool exact)
{
	uint64_t ns = ptf_clock_ns(&fit->clock);

	fit->stretch = (struct stretch){.on = true, .exact = exact, .on_ns = ns, .first_ns = ns};
}

static void take_packet(
        struct fit *fit, const struct ptf_packet *packet, enum ptf_packet_kind before)
{
	if (ptf_clock_packet(&fit->clock, packet) && !fit->stretch.exact) {
		fit->stretch.exact = true;
		fit->stretch.first_ns = ptf_clock_ns(&fit->clock);
	}
	switch (packet->kind) {
	case PTF_PACKET_TIP_PGE:
		begin_stretch(fit, before == PTF_PACKET_CYC || before == PTF_PACKET_TSC);
		break;
	case PTF_PACKET_OVF:
	case PTF_PACKET_TIP_PGD:
		end_stretch(fit);
		fit->overflowed = packet->kind == PTF_PACKET_OVF;
		break;
	case PTF_PACKET_FUP:
		if (fit->overflowed && !fit->stretch.on)
			begin_stretch(fit, false);
		break;
	default:
		break;
	}
}

static void fit_to_packets(struct fit *fit, const struct ptf_engine_input *input)
{
	enum ptf_packet_kind before = PTF_PACKET_PAD;
	struct ptf_psb_plus plus;
	struct ptf_packet packet;
	uint64_t at = 0;

	ptf_psb_plus_read(&plus, fit->clock.params, input->bytes, input->size);
	while (at < input->size && fit->next < fit->spans->n) {
		int n = ptf_packet_decode(input->bytes + at, input->size - at, &packet);

		if (n <= 0)
			break;
		take_packet(fit, &packet, before);
		before = packet.kind;
		at += (uint64_t)n;
		if (at == plus.size && plus.ip != PTF_NO_IP)
			begin_stretch(fit, true);
	}
	end_stretch(fit);
}

bool ptf_run_spans_fit(struct ptf_engine_input *input, uint64_t start_ns, uint64_t end_ns,
        const struct ptf_clock_params *clock, struct ptf_run_spans *out)
{
	const struct ptf_run_span *spans = input->spans;
	size_t first, last, n;
	struct fit fit = {.spans = out, .next = 1};

	if (start_ns == UINT64_MAX)
		return true;
	first = ptf_run_spans_find(spans, input->n_spans, 0,
	        start_ns > PTF_SPAN_SKEW_NS ? start_ns - PTF_SPAN_SKEW_NS : 0);
	last = ptf_run_spans_find(spans, input->n_spans, first,
	        end_ns < UINT64_MAX - PTF_SPAN_SKEW_NS ? end_ns + PTF_SPAN_SKEW_NS : end_ns);
	if (first == last)
		return true;
	n = last + 1 - first;
	out->n = 0;
	if (!ptf_vec_reserve(out, n))
		return false;
	memcpy(out->v, spans + first, n * sizeof(*spans));
	out->n = n;
	ptf_clock_init(&fit.clock, clock);
	fit_to_packets(&fit, input);
	input->spans = out->v;
	input->n_spans = n;
	return true;
}
