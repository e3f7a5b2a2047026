/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86 instructions as far as PT needs them: length, kind of branch, direct target.
 *
 * Kinds follow the SDM's "Change of Flow Instruction (COFI) types" (volume 3, chapter "Intel
 * Processor Trace"), and libipt's instruction classes.
 */
#ifndef PTF_INSN_CLASS_H
#define PTF_INSN_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTF_INSN_MAX_SIZE 15u /* bytes */

enum ptf_insn_class {
	PTF_INSN_NONE,  /* no instruction */
	PTF_INSN_OTHER, /* no branch */
	PTF_INSN_PTWRITE,
	PTF_INSN_CALL,      /* near */
	PTF_INSN_RETURN,    /* near */
	PTF_INSN_JUMP,      /* near, unconditional */
	PTF_INSN_COND_JUMP, /* also LOOP, JCXZ */
	PTF_INSN_FAR_CALL,  /* also SYSCALL, INT */
	PTF_INSN_FAR_RETURN,
	PTF_INSN_FAR_JUMP,
};

enum ptf_exec_mode {
	PTF_MODE_UNKNOWN, /* no MODE.Exec packet yet: nothing can be decoded */
	PTF_MODE_16,
	PTF_MODE_32,
	PTF_MODE_64,
};

struct ptf_insn {
	uint8_t insn_class;   /* enum ptf_insn_class */
	uint8_t size;         /* bytes */
	bool direct;          /* the target is in the instruction */
	bool sets_cr3;        /* MOV CR3: tracing can stop here (CR3 filter) */
	int32_t displacement; /* direct: bytes from the next instruction to the target */
};

/* Decodes the instruction at `bytes`, of which `size` are there. false: it is none, or cut off. */
bool ptf_insn_decode(
        struct ptf_insn *insn, const uint8_t *bytes, size_t size, enum ptf_exec_mode mode);

/* Without the trace nobody knows where the instruction goes. */
static inline bool ptf_insn_needs_trace(const struct ptf_insn *insn)
{
	switch (insn->insn_class) {
	case PTF_INSN_CALL:
	case PTF_INSN_JUMP:
		return !insn->direct;
	case PTF_INSN_NONE:
	case PTF_INSN_OTHER:
	case PTF_INSN_PTWRITE:
		return false;
	default:
		return true;
	}
}

/* The mode that a MODE.Exec packet's flags give (bit 0 CS.L, bit 1 CS.D). */
static inline enum ptf_exec_mode ptf_exec_mode_of(unsigned flags)
{
	if (flags & 1)
		return PTF_MODE_64;
	return flags & 2 ? PTF_MODE_32 : PTF_MODE_16;
}

#endif
