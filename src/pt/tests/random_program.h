/* SPDX-License-Identifier: BSD-2-Clause */
/* A random x86 program in an ELF file with symbols: what random traces run through. */
#ifndef PTF_RANDOM_PROGRAM_H
#define PTF_RANDOM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pt/insn_class.h"

enum { PTF_RANDOM_MAX_INSNS = 160 };

#define PTF_RANDOM_BASE 0x400000ull /* where the file is mapped, file offset 0 */

struct ptf_random_insn {
	uint64_t ip;
	uint8_t bytes[PTF_INSN_MAX_SIZE];
	uint8_t size;
	enum ptf_insn_class insn_class;
	bool direct;
	bool is_syscall;
	bool narrow;   /* a displacement of one byte */
	size_t target; /* direct: index of the instruction it leads to */
};

struct ptf_random_program {
	struct ptf_random_insn insns[PTF_RANDOM_MAX_INSNS];
	size_t n;
	uint64_t file_size; /* bytes */
};

/* Numbers from a seed (splitmix64). */
struct ptf_random {
	uint64_t state;
};
uint64_t ptf_random_next(struct ptf_random *random);
/* 0..n-1 */
static inline size_t ptf_random_below(struct ptf_random *random, size_t n)
{
	return (size_t)(ptf_random_next(random) % n);
}
/* True in one of n cases. */
static inline bool ptf_random_one_in(struct ptf_random *random, size_t n)
{
	return ptf_random_below(random, n) == 0;
}

/* Makes a program and writes its ELF file; false when the file cannot be written. */
bool ptf_random_program_make(
        struct ptf_random_program *program, struct ptf_random *random, const char *path);

#endif
