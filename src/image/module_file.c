/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/module_file.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "image/kernel_code.h"

#define DELETED " (deleted)"
#define PAGE 4096u
#define FOUR_GB 0x100000000ull

struct search {
	const struct ptf_module *module;
	struct ptf_module_private *priv;
	const char *problem; /* of the best candidate so far */
};

static bool build_id_fits(const struct ptf_module_private *priv)
{
	return priv->build_id_size == 0 ||
	       (priv->is_elf &&
	               ptf_elf_file_has_build_id(&priv->elf, priv->build_id, priv->build_id_size));
}

static void forget(struct ptf_module_private *priv)
{
	if (priv->is_elf)
		ptf_elf_file_release(&priv->elf);
	priv->is_elf = false;
	ptf_file_map_release(&priv->map);
	free(priv->copy);
	priv->copy = NULL;
	free(priv->disk_path);
	priv->disk_path = NULL;
}

static const char *problem_of(int rc)
{
	switch (rc) {
	case -PTF_ENOENT:
		return "no such file";
	case -PTF_EPERM:
		return "permission denied";
	case -PTF_EINVAL:
		return "not a regular file";
	default:
		return "cannot be read";
	}
}

/* Takes path (owned by the call, NULL: out of memory) if it is the file that was recorded. */
static bool try_path(struct search *search, char *path)
{
	struct ptf_module_private *priv = search->priv;
	int rc = path ? ptf_file_map_init(&priv->map, path, NULL) : -PTF_ENOMEM;

	if (rc < 0) {
		if (rc != -PTF_ENOENT || !search->problem)
			search->problem = problem_of(rc);
		free(path);
		return false;
	}
	priv->disk_path = path;
	priv->is_elf = ptf_elf_file_init(&priv->elf, priv->map.bytes, priv->map.size, NULL) == 0;
	if (!build_id_fits(priv)) {
		forget(priv);
		search->problem = "build-id differs";
		return false;
	}
	priv->bytes = priv->map.bytes;
	priv->size = priv->map.size;
	return true;
}

static char *join(const char *before, const char *after)
{
	char *path;

	return asprintf(&path, "%s%s", before, after) < 0 ? NULL : path;
}

/* DIR/.build-id/xx/yyyy.../NAME, as perf's build-id cache has it. */
static char *cache_path(const struct ptf_module_private *priv, const char *dir, const char *name)
{
	char hex[2 * PTF_BUILD_ID_MAX + 1] = "", *path;

	for (size_t i = 0; i < priv->build_id_size; i++)
		snprintf(hex + 2 * i, 3, "%02x", priv->build_id[i]);
	return asprintf(&path, "%s/.build-id/%.2s/%s/%s", dir, hex, hex + 2, name) < 0 ? NULL
	                                                                               : path;
}

static bool try_caches(struct search *search, const char *name)
{
	const struct ptf_module_context *context = search->priv->context;
	const char *home = getenv("HOME");
	char *debug;
	bool found;

	if (search->priv->build_id_size < 2)
		return false;
	if (context->search_dir &&
	        try_path(search, cache_path(search->priv, context->search_dir, name)))
		return true;
	if (!home || !home[0])
		return false;
	debug = join(home, "/.debug");
	found = debug && try_path(search, cache_path(search->priv, debug, name));
	free(debug);
	return found;
}

/* Takes a file that came with the recording. */
static bool try_attached(struct search *search, const char *path)
{
	struct ptf_module_private *priv = search->priv;
	const struct ptf_attached_files *attached = priv->context->attached;
	const struct ptf_attached_file *file =
	        attached ? ptf_attached_files_find(attached, path) : NULL;

	if (!file || !file->size)
		return false;
	priv->is_elf = ptf_elf_file_init(&priv->elf, file->bytes, file->size, NULL) == 0;
	if (!build_id_fits(priv)) {
		forget(priv);
		search->problem = "build-id differs";
		return false;
	}
	priv->bytes = file->bytes;
	priv->size = file->size;
	return true;
}

static bool try_places(struct search *search, const char *path)
{
	const struct ptf_module_context *context = search->priv->context;

	if (context->symfs && try_path(search, join(context->symfs, path)))
		return true;
	if (try_attached(search, path))
		return true;
	if (context->search_dir && try_path(search, join(context->search_dir, path)))
		return true;
	return try_path(search, strdup(path));
}

/* What is at the path of a deleted file is another one unless its build-id says otherwise. */
static bool try_without_deleted(struct search *search, const char *path)
{
	size_t len = strlen(path);
	char *live;
	bool found;

	if (search->priv->build_id_size == 0 || len <= strlen(DELETED) ||
	        strcmp(path + len - strlen(DELETED), DELETED) != 0)
		return false;
	live = strndup(path, len - strlen(DELETED));
	found = live && try_places(search, live);
	free(live);
	return found;
}

/* Copies the vDSO of this process: it ends with its section headers. */
static bool copy_own_vdso(struct ptf_module_private *priv)
{
	const uint8_t *own = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)own;
	size_t size;

	if (!own || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	size = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;
	priv->copy = malloc(size);
	if (!priv->copy)
		return false;
	memcpy(priv->copy, own, size);
	priv->bytes = priv->copy;
	priv->size = size;
	priv->is_elf = ptf_elf_file_init(&priv->elf, priv->bytes, size, NULL) == 0;
	return priv->is_elf;
}

/* Without a build-id only the size of the mapping and its place tell whether this process's vDSO
 * can be the recorded one: a 32-bit process has another. */
static bool try_own_vdso(struct search *search)
{
	struct ptf_module_private *priv = search->priv;

	if (copy_own_vdso(priv)) {
		if (priv->build_id_size > 0 && build_id_fits(priv)) {
			search->problem = NULL;
			return true;
		}
		if (priv->build_id_size == 0 && priv->first_start >= FOUR_GB &&
		        priv->first_len == (priv->size + PAGE - 1) / PAGE * PAGE) {
			search->problem = "no build-id recorded: this machine's vDSO is used";
			return true;
		}
	}
	forget(priv);
	search->problem = "not the vDSO of this machine";
	return false;
}

/* A kcore has no build-id; which file is right was decided when it was found. */
static bool try_kernel(struct search *search)
{
	struct ptf_module_private *priv = search->priv;
	const char *file =
	        ptf_kernel_code_file(priv->context->kernel, search->module, &priv->is_vmlinux);

	search->problem = "kernel code is not available (perf record --kcore keeps it)";
	if (!file || ptf_file_map_init(&priv->map, file, NULL) < 0)
		return false;
	priv->disk_path = strdup(file);
	priv->bytes = priv->map.bytes;
	priv->size = priv->map.size;
	priv->is_elf = ptf_elf_file_init(&priv->elf, priv->bytes, priv->size, NULL) == 0;
	if (priv->is_elf && priv->disk_path)
		return true;
	forget(priv);
	return false;
}

static bool find(struct search *search)
{
	const char *path = search->module->path;

	if (search->module->kernel)
		return try_kernel(search);
	if (strcmp(path, "[vdso]") == 0)
		return try_caches(search, "vdso") || try_own_vdso(search);
	if (ptf_module_is_anonymous(path) || path[0] != '/') {
		search->problem = "code in memory, without a file";
		return false;
	}
	return try_places(search, path) || try_caches(search, "elf") ||
	       try_without_deleted(search, path);
}

bool ptf_module_file_find(const struct ptf_module *module, const char **problem)
{
	struct search search = {.module = module, .priv = module->priv};
	bool found = find(&search);

	/* Candidates that were passed over do not matter once the right one is found. */
	*problem = found && !search.priv->copy ? NULL : search.problem;
	return found;
}
