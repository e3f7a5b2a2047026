/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random but valid PT: a random walk through a random program, with every kind of packet where the
 * hardware may put it.
 */
#ifndef PTF_RANDOM_TRACE_H
#define PTF_RANDOM_TRACE_H

#include "pt/tests/random_program.h"

enum {
	PTF_TRACE_MAX_BYTES = 1 << 16,
	PTF_TRACE_MAX_PSBS = 64,
};

struct ptf_random_trace {
	uint8_t bytes[PTF_TRACE_MAX_BYTES];
	uint8_t known[PTF_TRACE_MAX_BYTES]; /* the same with PADs for what libipt 2.0.5 does not
	                                     * know: BBP, BIP, BEP */
	size_t n;
	size_t psbs[PTF_TRACE_MAX_PSBS];     /* offsets */
	size_t psb_ends[PTF_TRACE_MAX_PSBS]; /* offsets behind their PSBEND */
	size_t n_psbs;
};

/* A trace of about `steps` instructions. */
void ptf_random_trace_make(struct ptf_random_trace *trace, const struct ptf_random_program *program,
        struct ptf_random *random, size_t steps);

#endif
