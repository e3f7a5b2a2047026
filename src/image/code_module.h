/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module's file and functions, loaded on first use.
 *
 * `state` and `symbols` go from empty to full once, under `lock`; who finds them full reads what
 * they publish without a lock.
 */
#ifndef PTF_CODE_MODULE_H
#define PTF_CODE_MODULE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/file_map.h"
#include "image/code_images.h"
#include "symbol/elf_file.h"
#include "symbol/elf_symbols.h"

struct ptf_kernel_code;

/* Where modules of a collection are looked for and what they have in common. */
struct ptf_module_context {
	struct ptf_function_table *functions;      /* borrowed */
	char *symfs;                               /* owned, or NULL */
	char *search_dir;                          /* owned, or NULL */
	const struct ptf_attached_files *attached; /* borrowed, or NULL */
	struct ptf_kernel_code *kernel; /* owned by the collection, NULL: before freeze */
	int64_t recorded_s;             /* see struct ptf_code_images_options */
};

enum ptf_module_state {
	PTF_MODULE_CLOSED,
	PTF_MODULE_OPEN,
	PTF_MODULE_MISSING,
};

/* A symbol table with the functions that were asked for so far. */
struct ptf_module_symbols {
	struct ptf_elf_symbols *elf;
	_Atomic(const struct ptf_function *) *functions; /* by index in elf->functions */
};

/* Makes room for the functions of symbols->elf; destroys it and returns NULL when out of memory. */
struct ptf_module_symbols *ptf_module_symbols_finish(struct ptf_module_symbols *symbols);
void ptf_module_symbols_destroy(struct ptf_module_symbols *symbols);

struct ptf_module_private {
	const struct ptf_module_context *context;
	uint8_t build_id[PTF_BUILD_ID_MAX]; /* that the recording gives */
	size_t build_id_size;               /* bytes, 0: none given */
	uint64_t first_start, first_len;    /* where it was first mapped: virtual address, bytes */
	uint64_t first_pgoff; /* ... from this file offset on; kernel: see kernel_code.h */

	pthread_mutex_t lock;
	_Atomic(enum ptf_module_state) state;
	char *disk_path;         /* owned, or NULL */
	struct ptf_file_map map; /* the file on disk */
	uint8_t *copy;           /* owned: content that is in no file ([vdso]), or NULL */
	const uint8_t *bytes;    /* of the map or the copy, once open */
	size_t size;             /* bytes */
	bool is_elf;
	bool is_vmlinux;         /* kernel: the file is a vmlinux, with symbols of its own */
	struct ptf_elf_file elf; /* when is_elf */
	_Atomic(struct ptf_module_symbols *) symbols;
	_Atomic(const struct ptf_function *) whole; /* "[module]" */
};

/* Sets up a module whose path (and kernel) the caller has filled in; priv is zeroed memory that
 * lives as long as the module. */
void ptf_module_init(struct ptf_module *module, struct ptf_module_private *priv,
        const struct ptf_module_context *context);
void ptf_module_release(struct ptf_module *module);

/* Code made at run time, heap, stack: no file stands behind the path. */
bool ptf_module_is_anonymous(const char *path);

/* The module's bytes, *size of them; NULL when it is missing. */
const uint8_t *ptf_module_bytes(struct ptf_module *module, size_t *size);

/* ELF virtual address of a file offset; the offset itself when the module has no ELF file. */
uint64_t ptf_module_vaddr(struct ptf_module *module, uint64_t file_offset);

/* The function at an ELF virtual address, see ptf_code_epoch_function; NULL only when out of
 * memory. All anonymous memory is one function, "[jit]", that begins wherever a call went. *start
 * is the virtual address of its entry, valid when *has_entry. */
const struct ptf_function *ptf_module_function(
        struct ptf_module *module, uint64_t vaddr, bool target, bool *has_entry, uint64_t *start);

#endif
