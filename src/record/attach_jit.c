/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/attach_jit.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/attached_files.h"
#include "base/hash_map.h"
#include "base/vec.h"
#include "image/code_module.h"
#include "image/jit_dump.h"
#include "perfdata/perf_reader.h"

/* A file to keep. */
struct kept {
	char *name; /* owned: as the recording calls it */
	struct ptf_file_map map;
};

struct attaching {
	int64_t since_s;
	struct ptf_hash_map pids; /* processes whose perf map was looked for */
	PTF_VEC(struct kept) kept;
};

static bool is_old(const struct attaching *a, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_mtim.tv_sec < a->since_s;
}

/* Keeps the file at path as `name`, if it can be read; false when out of memory. */
static bool keep(struct attaching *a, const char *path, const char *name)
{
	struct kept kept;
	bool empty;

	if (ptf_file_map_init(&kept.map, path, NULL) < 0)
		return true;
	empty = kept.map.size == 0;
	kept.name = empty ? NULL : strdup(name);
	if (kept.name && ptf_vec_push(&a->kept, kept))
		return true;
	ptf_file_map_release(&kept.map);
	free(kept.name);
	return empty;
}

static bool is_kept(const struct attaching *a, const char *name)
{
	ptf_vec_foreach (kept, &a->kept)
		if (strcmp(kept->name, name) == 0)
			return true;
	return false;
}

/* The process's number in its own namespace: the last of the line "NSpid:". */
static int own_pid(int32_t pid)
{
	char path[64], line[256];
	const char *last;
	FILE *status;
	int own = pid;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status)) {
		last = strncmp(line, "NSpid:", 6) == 0 ? strrchr(line, '\t') : NULL;
		if (last)
			own = atoi(last);
	}
	if (status)
		fclose(status);
	return own;
}

static bool keep_map(struct attaching *a, int32_t pid)
{
	char name[64], inside[96];
	bool made;

	if (!ptf_hash_map_at(&a->pids, (uint32_t)pid, &made))
		return false;
	if (!made)
		return true;
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)pid);
	snprintf(inside, sizeof(inside), "/proc/%d/root/tmp/perf-%d.map", (int)pid, own_pid(pid));
	if (!is_old(a, inside) && !keep(a, inside, name))
		return false;
	return is_kept(a, name) || is_old(a, name) || keep(a, name, name);
}

static bool keep_dump(struct attaching *a, int32_t pid, const char *path)
{
	char inside[PATH_MAX];

	/* The kernel writes absolute names; others could lead out of the recording. */
	if (is_kept(a, path) || path[0] != '/' || strstr(path, "/../"))
		return true;
	snprintf(inside, sizeof(inside), "/proc/%d/root%s", (int)pid, path);
	if (!keep(a, inside, path))
		return false;
	return is_kept(a, path) || keep(a, path, path);
}

static bool take_record(struct attaching *a, const struct ptf_record *record)
{
	const struct ptf_record_mmap *mmap = &record->mmap;

	if ((record->type != PTF_RECORD_MMAP && record->type != PTF_RECORD_MMAP2) || mmap->pid <= 0)
		return true;
	if (ptf_jit_dump_is_name(mmap->filename))
		return keep_dump(a, mmap->pid, mmap->filename);
	return !ptf_module_is_anonymous(mmap->filename) || keep_map(a, mmap->pid);
}

static int find_files(struct attaching *a, const char *path, struct ptf_error *err)
{
	struct ptf_perf_reader *reader = NULL;
	struct ptf_record record;
	int rc = ptf_perf_reader_create(&reader, path, err);

	while (rc == 0 && (rc = ptf_perf_reader_next(reader, &record, err)) == 0) {
		if (!take_record(a, &record))
			rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	ptf_perf_reader_destroy(reader);
	return rc < 0 ? rc : 0;
}

/* Copies a file into the directory of a recording, at its own path below it. */
static int copy_into(const char *directory, const struct kept *kept, struct ptf_error *err)
{
	char path[PATH_MAX];
	FILE *out;
	size_t n;

	n = (size_t)snprintf(path, sizeof(path), "%s%s", directory, kept->name);
	if (n >= sizeof(path))
		return ptf_error_set(err, PTF_EINVAL, "%s: the name is too long", kept->name);
	for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			return ptf_error_set_errno(err, errno, "%s", path);
		*slash = '/';
	}
	out = fopen(path, "we");
	n = out ? fwrite(kept->map.bytes, 1, kept->map.size, out) : 0;
	if (!out || (fclose(out) | (n != kept->map.size)))
		return ptf_error_set_errno(err, errno, "%s", path);
	return 0;
}

static int write_files(const struct attaching *a, const char *path, struct ptf_error *err)
{
	PTF_VEC(struct ptf_attached_file) files = {0};
	struct stat st;
	int rc = 0;

	if (stat(path, &st) < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	ptf_vec_foreach (kept, &a->kept) {
		struct ptf_attached_file file = {.name = kept->name,
		        .name_len = strlen(kept->name),
		        .bytes = kept->map.bytes,
		        .size = kept->map.size};

		if (S_ISDIR(st.st_mode))
			rc = rc == 0 ? copy_into(path, kept, err) : rc;
		else if (!ptf_vec_push(&files, file))
			rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	}
	if (rc == 0 && files.n)
		rc = ptf_attached_files_add(path, files.v, files.n, err);
	ptf_vec_release(&files);
	return rc;
}

int ptf_attach_jit(const char *path, int64_t since_s, uint64_t *bytes, struct ptf_error *err)
{
	struct attaching a = {.since_s = since_s};
	int rc = find_files(&a, path, err);

	if (rc == 0)
		rc = write_files(&a, path, err);
	ptf_vec_foreach (kept, &a.kept) {
		if (bytes)
			*bytes += kept->map.size;
		ptf_file_map_release(&kept->map);
		free(kept->name);
	}
	ptf_vec_release(&a.kept);
	ptf_hash_map_release(&a.pids);
	return rc;
}
