/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flow engine: decodes one segment of PT into flow items. Engines differ in speed only.
 *
 * One engine serves one worker thread; what workers share (the code) is behind
 * struct ptf_engine_shared. Items come with times: packets give anchors, and between neighbouring
 * anchors time is interpolated by retired instructions (flow_timer.h).
 */
#ifndef PTF_FLOW_ENGINE_H
#define PTF_FLOW_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "image/code_images.h"
#include "pt/flow_item.h"
#include "pt/flow_timer.h"
#include "pt/pt_clock.h"

/*
 * Whose code a stream runs from a time on. Sorted by from_ns; the first holds from the beginning.
 *
 * A span of another thread begins where tracing goes on (PTF_FLOW_ON) at or after its time. One of
 * the same thread is another epoch of its code, which may change while it runs (code made at run
 * time): it begins behind the first branch whose TNT or TIP packet comes at or after its time.
 */
struct ptf_run_span {
	uint64_t from_ns;
	int32_t pid, tid;                  /* tid 0: idle, -1: not known */
	uint32_t life;                     /* which one of the tid, by any number */
	const struct ptf_code_epoch *code; /* NULL: no code known */
};

struct ptf_engine_config {
	struct ptf_clock_params clock;
	uint16_t cpu_family; /* 0: unknown */
	uint8_t cpu_model, cpu_stepping;
	struct ptf_code_images *images; /* borrowed */
};

/* What is known where a segment goes on (pt/resync.h). */
struct ptf_resume {
	struct ptf_clock clock; /* there */
	uint64_t header_size;   /* bytes of the PSB+ that was made up */
};

/* A segment with its bytes and the history of who ran on its stream. */
struct ptf_engine_input {
	const uint8_t *bytes;             /* begins with a PSB; valid until the segment is done */
	uint64_t size;                    /* bytes */
	uint64_t next_psb;                /* bytes; == size: no PSB follows */
	const struct ptf_run_span *spans; /* n_spans > 0 */
	size_t n_spans;
	bool filtered; /* an address filter was set: tracing stops where code leaves it */
	const struct ptf_resume *resume; /* NULL: a whole segment; else the rest of one */
};

/* Raw counts, summed over the segments of one engine. */
struct ptf_engine_counts {
	uint64_t instructions, calls, returns;
	uint64_t psbs, overflows, errors, lost_bytes;
	uint64_t unmapped_errors;            /* errors in code that no mapping covers */
	uint64_t jit_errors;                 /* errors in code made at run time, without bytes */
	PTF_VEC(uint64_t) missing_by_module; /* errors in modules without code, by module index */
	struct ptf_anchor_distances distances;
};

/* Releases what the counts own. */
void ptf_engine_counts_release(struct ptf_engine_counts *counts);
/* Adds `from` to `to`; false when out of memory. */
bool ptf_engine_counts_add(struct ptf_engine_counts *to, const struct ptf_engine_counts *from);
/* Counts an error for want of the code at ip (code may be NULL); false when out of memory. */
bool ptf_engine_counts_no_code(
        struct ptf_engine_counts *counts, const struct ptf_code_epoch *code, uint64_t ip);

struct ptf_flow_engine;

/* What an engine provides. */
struct ptf_flow_engine_ops {
	const char *name;
	/* What all workers share, from the config (borrowed). */
	int (*share)(void **shared, const struct ptf_engine_config *config, struct ptf_error *err);
	void (*unshare)(void *shared);
	struct ptf_flow_engine *(*create)(void *shared); /* NULL: out of memory */
	void (*destroy)(struct ptf_flow_engine *engine);
	/* Begins a segment; the input is copied, its bytes and spans are borrowed. */
	int (*begin)(struct ptf_flow_engine *engine, const struct ptf_engine_input *input);
	/* The next item, valid until the next call: 0 item, 1 end, -PTF_ENOMEM. */
	int (*next)(struct ptf_flow_engine *engine, const struct ptf_flow_item **item);
	const struct ptf_engine_counts *(*counts)(const struct ptf_flow_engine *engine);
	/* The segment is done: where it was given up for want of code, bytes from its beginning;
	 * UINT64_MAX when it was not. Behind that place it can go on, as pt/resync.h does it. */
	uint64_t (*stopped_at)(const struct ptf_flow_engine *engine);
};

extern const struct ptf_flow_engine_ops ptf_engine_fast;
extern const struct ptf_flow_engine_ops ptf_engine_libipt;

/* The engine of that name, NULL when there is none. */
const struct ptf_flow_engine_ops *ptf_flow_engine_find(const char *name);

#endif
