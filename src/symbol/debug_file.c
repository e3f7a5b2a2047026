/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/debug_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lzma.h>
#include <zlib.h>

#define DEBUG_DIR "/usr/lib/debug"
#define UNPACKED_MAX ((size_t)256 << 20)    /* bytes of unpacked .gnu_debugdata */
#define UNPACK_MEMORY ((uint64_t)256 << 20) /* bytes that the decoder may use */

struct link { /* .gnu_debuglink */
	const char *name;
	uint32_t crc; /* CRC-32 of the whole debug file */
};

void ptf_debug_file_release(struct ptf_debug_file *debug)
{
	if (debug->found)
		ptf_elf_file_release(&debug->elf);
	ptf_file_map_release(&debug->map);
	free(debug->unpacked);
	free(debug->path);
	*debug = (struct ptf_debug_file){0};
}

static bool read_link(const struct ptf_elf_file *file, struct link *link)
{
	GElf_Shdr sh;
	size_t size, len;
	const uint8_t *bytes = ptf_elf_file_section(file, ".gnu_debuglink", &sh)
	                               ? ptf_elf_file_content(file, &sh, &size)
	                               : NULL;

	if (!bytes)
		return false;
	len = strnlen((const char *)bytes, size);
	/* The checksum stands behind the terminated name, aligned to 4. */
	if (len == 0 || len / 4 * 4 + 4 + sizeof(link->crc) > size)
		return false;
	link->name = (const char *)bytes;
	memcpy(&link->crc, bytes + len / 4 * 4 + 4, sizeof(link->crc));
	return true;
}

/* Does the debug file belong to the file? The build-id tells; a checksum (of the link, or NULL)
 * counts only without one, as GDB has it. */
static bool belongs(const struct ptf_debug_file *debug, const struct ptf_elf_file *file,
        const struct link *link)
{
	if (file->build_id_size && debug->elf.build_id_size)
		return file->build_id_size == debug->elf.build_id_size &&
		       memcmp(file->build_id, debug->elf.build_id, file->build_id_size) == 0;
	return link && crc32_z(0, debug->map.bytes, debug->map.size) == link->crc;
}

/* Takes the file at path (owned by the call, NULL: out of memory) if it is the right one. */
static bool try_path(struct ptf_debug_file *debug, const struct ptf_elf_file *file,
        const struct link *link, char *path)
{
	GElf_Shdr sh;

	debug->path = path;
	if (path && ptf_file_map_init(&debug->map, path, NULL) == 0 &&
	        ptf_elf_file_init(&debug->elf, debug->map.bytes, debug->map.size, NULL) == 0) {
		debug->found = true;
		if (ptf_elf_file_section_of_type(&debug->elf, SHT_SYMTAB, &sh) &&
		        belongs(debug, file, link))
			return true;
	}
	ptf_debug_file_release(debug);
	return false;
}

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	return len < 0 ? NULL : text;
}

static bool try_build_id(
        struct ptf_debug_file *debug, const struct ptf_elf_file *file, const char *root)
{
	char hex[2 * PTF_BUILD_ID_MAX + 1] = "";

	for (size_t i = 0; i < file->build_id_size; i++)
		snprintf(hex + 2 * i, 3, "%02x", file->build_id[i]);
	return file->build_id_size >= 2 &&
	       try_path(debug, file, NULL,
	               format("%s" DEBUG_DIR "/.build-id/%.2s/%s.debug", root, hex, hex + 2));
}

/* The three places of a linked file: beside the file, below .debug there, and in DEBUG_DIR. */
static bool try_link(struct ptf_debug_file *debug, const struct ptf_elf_file *file,
        const struct link *link, const struct ptf_elf_debug_search *search)
{
	const char *slash = search->path ? strrchr(search->path, '/') : NULL;
	int len = slash ? (int)(slash - search->path) : 0;
	const char *dir = search->path;

	if (!slash || strchr(link->name, '/'))
		return false;
	/* A file below symfs has its debug file below symfs, too. */
	if (search->symfs && strncmp(dir, search->symfs, strlen(search->symfs)) == 0 &&
	        (size_t)len >= strlen(search->symfs)) {
		size_t root = strlen(search->symfs);

		if (try_path(debug, file, link,
		            format("%s" DEBUG_DIR "%.*s/%s", search->symfs, len - (int)root,
		                    dir + root, link->name)))
			return true;
	}
	return try_path(debug, file, link, format("%.*s/%s", len, dir, link->name)) ||
	       try_path(debug, file, link, format("%.*s/.debug/%s", len, dir, link->name)) ||
	       try_path(debug, file, link, format(DEBUG_DIR "%.*s/%s", len, dir, link->name));
}

void ptf_debug_file_find(struct ptf_debug_file *debug, const struct ptf_elf_file *file,
        const struct ptf_elf_debug_search *search)
{
	struct link link;

	*debug = (struct ptf_debug_file){0};
	if (!search)
		return;
	if (search->symfs && try_build_id(debug, file, search->symfs))
		return;
	if (try_build_id(debug, file, ""))
		return;
	if (read_link(file, &link))
		try_link(debug, file, &link, search);
}

/* Unpacks xz data into a buffer that grows up to UNPACKED_MAX; NULL when it is damaged. */
static uint8_t *unxz(const uint8_t *bytes, size_t size, size_t *unpacked)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	size_t cap = 1 << 16, n = 0;
	uint8_t *out = NULL, *grown;
	lzma_ret rc = lzma_stream_decoder(&stream, UNPACK_MEMORY, LZMA_CONCATENATED);

	stream.next_in = bytes;
	stream.avail_in = size;
	while (rc == LZMA_OK && cap < UNPACKED_MAX) {
		cap *= 2;
		grown = realloc(out, cap);
		if (!grown)
			break;
		out = grown;
		stream.next_out = out + n;
		stream.avail_out = cap - n;
		rc = lzma_code(&stream, LZMA_FINISH);
		n = cap - stream.avail_out;
	}
	lzma_end(&stream);
	if (rc == LZMA_STREAM_END) {
		*unpacked = n;
		return out;
	}
	free(out);
	return NULL;
}

void ptf_debug_file_unpack(struct ptf_debug_file *debug, const struct ptf_elf_file *file)
{
	GElf_Shdr sh;
	size_t size, unpacked = 0;
	const uint8_t *bytes = ptf_elf_file_section(file, ".gnu_debugdata", &sh)
	                               ? ptf_elf_file_content(file, &sh, &size)
	                               : NULL;

	*debug = (struct ptf_debug_file){0};
	if (bytes)
		debug->unpacked = unxz(bytes, size, &unpacked);
	debug->found = debug->unpacked &&
	               ptf_elf_file_init(&debug->elf, debug->unpacked, unpacked, NULL) == 0;
}
