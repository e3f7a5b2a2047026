/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Symbols that are not in the file itself: a debug file found by build-id or .gnu_debuglink (GDB
 * manual, "Debugging Information in Separate Files"), or a small one packed into .gnu_debugdata
 * (same, "Debugging information in a special section": MiniDebugInfo).
 */
#ifndef PTF_DEBUG_FILE_H
#define PTF_DEBUG_FILE_H

#include "base/file_map.h"
#include "symbol/elf_file.h"
#include "symbol/elf_symbols.h"

struct ptf_debug_file {
	char *path;              /* owned; NULL for .gnu_debugdata or when none was found */
	struct ptf_file_map map; /* of path */
	uint8_t *unpacked;       /* owned content of .gnu_debugdata, or NULL */
	struct ptf_elf_file elf; /* valid when `found` */
	bool found;
};

/* Looks for a debug file of `file` with a symbol table, and leaves debug->found false when there
 * is none. One that another build of the file left behind (other build-id, other checksum) is
 * passed over. search may be NULL. */
void ptf_debug_file_find(struct ptf_debug_file *debug, const struct ptf_elf_file *file,
        const struct ptf_elf_debug_search *search);

/* Unpacks .gnu_debugdata; debug->found tells whether there is a good one. */
void ptf_debug_file_unpack(struct ptf_debug_file *debug, const struct ptf_elf_file *file);

void ptf_debug_file_release(struct ptf_debug_file *debug);

#endif
