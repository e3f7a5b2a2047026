/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "pt/tests/engine_compare.h"

enum { KEPT = 8 }; /* items of each engine that a report shows */

static char report_text[8192];
static size_t report_size;

static void report_add(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(report_text + report_size, sizeof(report_text) - report_size, format, args);
	va_end(args);
	if (n > 0)
		report_size += (size_t)n;
	if (report_size >= sizeof(report_text))
		report_size = sizeof(report_text) - 1;
}

bool ptf_engine_pair_init(struct ptf_engine_pair *pair, const struct ptf_engine_config *config)
{
	*pair = (struct ptf_engine_pair){.ops = {&ptf_engine_fast, &ptf_engine_libipt}};
	for (unsigned i = 0; i < 2; i++) {
		if (pair->ops[i]->share(&pair->shared[i], config, NULL) < 0)
			return false;
		pair->engines[i] = pair->ops[i]->create(pair->shared[i]);
		if (!pair->engines[i])
			return false;
	}
	return true;
}

void ptf_engine_pair_release(struct ptf_engine_pair *pair)
{
	for (unsigned i = 0; i < 2; i++) {
		pair->ops[i]->destroy(pair->engines[i]);
		pair->ops[i]->unshare(pair->shared[i]);
	}
}

static bool same(const struct ptf_flow_item *a, const struct ptf_flow_item *b)
{
	return a->kind == b->kind && a->cause == b->cause && a->insn_size == b->insn_size &&
	       a->mid_entry == b->mid_entry && a->code == b->code && a->pid == b->pid &&
	       a->insns == b->insns && a->from == b->from && a->to == b->to &&
	       a->time_ns == b->time_ns && a->from_function == b->from_function &&
	       a->to_function == b->to_function;
}

static void report_item(const char *engine, uint64_t number, const struct ptf_flow_item *i)
{
	static const char *const kinds[] = {
	        "CALL", "RETURN", "JUMP", "OFF", "ON", "ASYNC", "LOST", "SYNC", "END", "THREAD"};

	report_add("%7s %" PRIu64 " %s cause %d code %d size %d mid %d +%" PRIu32 " %" PRIx64
	           " -> %" PRIx64 " at %" PRIu64 " %s -> %s\n",
	        engine, number, kinds[i->kind], i->cause, i->code, i->insn_size, i->mid_entry,
	        i->insns, i->from, i->to, i->time_ns,
	        i->from_function ? i->from_function->name : "-",
	        i->to_function ? i->to_function->name : "-");
}

static void report_kept(const char *engine, const struct ptf_flow_item *kept, uint64_t n)
{
	for (uint64_t i = n > KEPT ? n - KEPT : 0; i < n; i++)
		report_item(engine, i, &kept[i % KEPT]);
}

bool ptf_engine_pair_compare(struct ptf_engine_pair *pair, const struct ptf_engine_input inputs[2],
        const char *name, const char **report)
{
	struct ptf_flow_item kept[2][KEPT];
	uint64_t n = 0;

	*report = report_text;
	report_size = 0;
	report_text[0] = '\0';
	for (unsigned i = 0; i < 2; i++) {
		if (pair->ops[i]->begin(pair->engines[i], &inputs[i]) < 0)
			return false;
	}
	for (;; n++) {
		int rc[2];

		for (unsigned i = 0; i < 2; i++) {
			const struct ptf_flow_item *item;

			rc[i] = pair->ops[i]->next(pair->engines[i], &item);
			if (rc[i] == 0)
				kept[i][n % KEPT] = *item;
		}
		if (rc[0] != 0 && rc[0] == rc[1])
			break;
		if (rc[0] == rc[1] && same(&kept[0][n % KEPT], &kept[1][n % KEPT]))
			continue;
		report_add("%s: engines differ at item %" PRIu64 " (returned %d, %d)\n", name, n,
		        rc[0], rc[1]);
		for (unsigned i = 0; i < 2; i++)
			report_kept(pair->ops[i]->name, kept[i], n + (rc[i] == 0));
		return false;
	}
	pair->items += n;
	return true;
}

bool ptf_engine_pair_counts_agree(const struct ptf_engine_pair *pair, const char **report)
{
	const struct ptf_engine_counts *a = pair->ops[0]->counts(pair->engines[0]);
	const struct ptf_engine_counts *b = pair->ops[1]->counts(pair->engines[1]);
	const struct {
		const char *name;
		uint64_t a, b;
	} counts[] = {
	        {"instructions", a->instructions, b->instructions},
	        {"calls", a->calls, b->calls},
	        {"returns", a->returns, b->returns},
	        {"psbs", a->psbs, b->psbs},
	        {"overflows", a->overflows, b->overflows},
	        {"errors", a->errors, b->errors},
	        {"lost bytes", a->lost_bytes, b->lost_bytes},
	        {"unmapped errors", a->unmapped_errors, b->unmapped_errors},
	};
	bool agree = memcmp(&a->distances, &b->distances, sizeof(a->distances)) == 0;

	*report = report_text;
	report_size = 0;
	report_add("%s", agree ? "" : "distances of anchors differ\n");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (counts[i].a == counts[i].b)
			continue;
		report_add(
		        "%s: %" PRIu64 ", %" PRIu64 "\n", counts[i].name, counts[i].a, counts[i].b);
		agree = false;
	}
	return agree;
}
