/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker's cache in front of the code images: which function is at an address. */
#ifndef PTF_CODE_LOOKUP_H
#define PTF_CODE_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "image/code_images.h"
#include "pt/insn_class.h"

struct ptf_code_place {
	uint64_t ip;
	uint32_t epoch;       /* id + 1, 0: empty */
	bool target;          /* ip was looked up as a call target */
	bool entry;           /* ip is the entry of the function */
	struct ptf_insn insn; /* at ip; size 0: not looked up yet, or no instruction */
	const struct ptf_function *function;
};

#define PTF_CODE_LOOKUP_BITS 14u
#define PTF_CODE_LOOKUP_SLOTS (1u << PTF_CODE_LOOKUP_BITS)

struct ptf_code_lookup {
	struct ptf_code_place slots[PTF_CODE_LOOKUP_SLOTS]; /* direct-mapped by ip */
};

/* The place of ip; valid until the next look-up. target: a call went there. */
struct ptf_code_place *ptf_code_lookup_at(struct ptf_code_lookup *lookup,
        const struct ptf_code_epoch *code, uint64_t ip, bool target);

/* The instruction at ip; its size is 0 when it cannot be read or decoded. Valid until the next
 * look-up. */
const struct ptf_insn *ptf_code_lookup_insn(struct ptf_code_lookup *lookup,
        const struct ptf_code_epoch *code, uint64_t ip, enum ptf_exec_mode mode);

#endif
