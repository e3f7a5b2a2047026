/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's code and names: from what `perf record --kcore` left in the recording's directory
 * (kcore_dir: kcore, kallsyms), from perf's cache of the same, or from a vmlinux.
 *
 * A kcore has the code as it ran, that of modules and of what the kernel patched in itself
 * included, at the addresses where it ran. A vmlinux is the code before the kernel patched it, at
 * the addresses that it was linked for; how far the kernel was moved is told by the record of its
 * mapping, which has the address of a symbol.
 */
#ifndef PTF_KERNEL_CODE_H
#define PTF_KERNEL_CODE_H

#include "image/code_history.h"
#include "image/code_module.h"

/* What the recording says of its kernel. */
struct ptf_kernel_facts {
	const char *release;     /* as of uname -r, or NULL */
	const uint8_t *build_id; /* of the kernel, or NULL */
	size_t build_id_size;    /* bytes */
	const char *symbol;      /* the one in its mapping record ("_text"), or NULL */
	uint64_t symbol_address; /* where that ran */
	const char *vmlinux;     /* the file to use, or NULL */
};

struct ptf_kernel_code;

/* Looks for the files; context is borrowed. NULL only when out of memory. */
struct ptf_kernel_code *ptf_kernel_code_create(
        const struct ptf_module_context *context, const struct ptf_kernel_facts *facts);
void ptf_kernel_code_destroy(struct ptf_kernel_code *kernel);

/* Makes the kernel's mappings, with addresses as file offsets until now, mappings of the files that
 * were found. text: the kernel's own module, which also has what no record names. false when out of
 * memory. */
bool ptf_kernel_code_map(const struct ptf_kernel_code *kernel, struct ptf_code_history *history,
        struct ptf_module *text);

/* The file of a kernel module's code (is_vmlinux tells which kind), NULL: there is none. */
const char *ptf_kernel_code_file(
        const struct ptf_kernel_code *kernel, const struct ptf_module *module, bool *is_vmlinux);

/* All functions by address, read from kallsyms when first asked for; NULL when there are none.
 * Thread-safe. kernel may be NULL. */
struct ptf_module_symbols *ptf_kernel_code_symbols(struct ptf_kernel_code *kernel);

#endif
