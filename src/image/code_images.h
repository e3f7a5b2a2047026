/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which code was mapped where, when, in which process.
 *
 * First all MMAP, MMAP2, COMM (exec), FORK and EXIT records are added in time order, then the
 * collection is frozen; after that every function here is thread-safe. A process's history is
 * cut into epochs: a new one begins only where a mapping conflicts with an older one (other
 * content at the same address: dlclose and dlopen, exec), so most processes have one.
 *
 * Code that a process made at run time comes from the jitdump that it mapped (bytes and names, in
 * order of time: replaced code begins an epoch too), its names else from its perf map.
 */
#ifndef PTF_CODE_IMAGES_H
#define PTF_CODE_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

#include "base/attached_files.h"
#include "perfdata/perf_record.h"
#include "symbol/function_table.h"

/* One mapped file (or pseudo file such as "[vdso]"), shared by all processes that map it. */
struct ptf_module {
	const char *path;      /* as mapped */
	const char *disk_path; /* where it is read: symfs prefixed, build-id cache; NULL if missing,
	                        * or if the code is in no file: [vdso] */
	uint32_t index;        /* 0.. in order of appearance */
	bool kernel;           /* the kernel or one of its modules */
	bool anonymous;        /* memory that no file holds: code made at run time */
	bool missing;          /* needed for decoding but not readable: see problem */
	const char *problem;   /* why it is missing or does not match (build-id), or NULL */
	/* private to image/ */
	struct ptf_module_private *priv;
};

struct ptf_code_map {
	uint64_t start, end;  /* virtual addresses, end exclusive */
	uint64_t file_offset; /* of `start` in the module's file, bytes */
	struct ptf_module *module;
	const struct ptf_function *function; /* which it is as a whole (code made at run time), or
	                                      * NULL */
};

/* The code of a process for a span of time. Immutable once frozen. */
struct ptf_code_epoch {
	uint64_t from_ns;          /* valid from this time on, until the next epoch */
	struct ptf_code_map *maps; /* sorted by start, not overlapping */
	size_t n_maps;
	uint32_t id; /* unique in the collection */
	struct ptf_code_images *images;
	/* private to image/ */
	bool shares_maps;                       /* they are the epoch's before this one */
	const struct ptf_code_history *made_by; /* whose code made at run time it has: its own, or
	                                         * that of the process it was forked from */
	uint64_t made_ns;                       /* ... as it was then */
	const struct ptf_jit_code *jit;         /* frozen: that code, or NULL */
	const struct ptf_jit_code *names;       /* frozen: names without code, or NULL */
};

struct ptf_code_images;

/* How the times of jitdumps become times of the recording. */
struct ptf_jit_clock {
	bool monotonic; /* the recording's clock is CLOCK_MONOTONIC */
	bool unrelated; /* it is no clock of the machine at all */
	/* TSC ticks to the recording's ns; NULL: not known. */
	uint64_t (*tsc_ns)(const void *context, uint64_t tsc);
	const void *context;
};

/* What there is to know of the kernel, if its code was traced. */
struct ptf_kernel_options {
	bool traced;         /* else its code is not looked for */
	const char *release; /* as of uname -r, or NULL */
	const char *vmlinux; /* the file to use, or NULL */
};

struct ptf_code_images_options {
	const char *symfs;      /* prefix for file names, or NULL */
	const char *search_dir; /* a perf.data directory that may hold files, or NULL */
	const struct ptf_attached_files
	        *attached;  /* that came with the recording, borrowed, or NULL */
	int64_t recorded_s; /* when the recording ended, seconds since 1970: a perf map that was
	                     * made later is another process's; 0: not known */
	struct ptf_jit_clock jit_clock;
};

/* functions: borrowed, must outlive the collection. NULL when out of memory. */
struct ptf_code_images *ptf_code_images_create(
        struct ptf_function_table *functions, const struct ptf_code_images_options *options);
void ptf_code_images_destroy(struct ptf_code_images *images);

/* Takes one record; kinds that say nothing of code are ignored. Errors: PTF_ENOMEM. */
int ptf_code_images_add(
        struct ptf_code_images *images, const struct ptf_record *record, struct ptf_error *err);

/* The build-id that the trace's header gives for a file: checked when the file is opened. */
int ptf_code_images_expect_build_id(struct ptf_code_images *images, const char *filename,
        const uint8_t *id, size_t size, struct ptf_error *err);

/* Sets the clock of jitdumps, if it was not known at creation; before freeze. */
void ptf_code_images_set_jit_clock(
        struct ptf_code_images *images, const struct ptf_jit_clock *clock);

/* Before freeze; strings are borrowed until then. */
void ptf_code_images_set_kernel(
        struct ptf_code_images *images, const struct ptf_kernel_options *options);

/* Builds the epochs; reads jitdumps and perf maps (what is wrong with them is logged). */
int ptf_code_images_freeze(struct ptf_code_images *images, struct ptf_error *err);

/* The code of process pid at a time (PTF_NO_TIME: the last epoch); NULL when nothing is known. */
#define PTF_NO_TIME UINT64_MAX
const struct ptf_code_epoch *ptf_code_images_epoch(
        const struct ptf_code_images *images, int32_t pid, uint64_t time_ns);

/* The kernel's code alone, for threads without code of their own; NULL: none is known. */
const struct ptf_code_epoch *ptf_code_images_kernel(const struct ptf_code_images *images);

/* All epochs of pid in time order; NULL and *n = 0 for an unknown process. */
const struct ptf_code_epoch *const *ptf_code_images_epochs(
        const struct ptf_code_images *images, int32_t pid, size_t *n);

/* Modules 0..n-1 (index order). */
struct ptf_module *const *ptf_code_images_modules(const struct ptf_code_images *images, size_t *n);

/* The mapping that covers ip, or NULL. */
const struct ptf_code_map *ptf_code_epoch_find(const struct ptf_code_epoch *epoch, uint64_t ip);

/* Opens the module's file if that was not done; 0, or -1 when it is missing (module->problem). */
int ptf_module_open(struct ptf_module *module);

/* ELF virtual address of ip in map (the file offset itself for what is no ELF). */
uint64_t ptf_code_map_vaddr(const struct ptf_code_map *map, uint64_t ip);

/* Up to size code bytes at ip (they stop at the end of the mapping); returns their number. */
size_t ptf_code_epoch_read(
        const struct ptf_code_epoch *epoch, uint64_t ip, uint8_t *out, size_t size);

/* The same over the ends of mappings that the next one adjoins. */
size_t ptf_code_epoch_read_across(
        const struct ptf_code_epoch *epoch, uint64_t ip, uint8_t *out, size_t size);

/* The function at ip; never NULL. target: ip is where a call went, so that a function begins there
 * if no symbol and no FDE covers it. A .cold part is its function. */
const struct ptf_function *ptf_code_epoch_function(
        const struct ptf_code_epoch *epoch, uint64_t ip, bool target);

/* The same, and where its entry lies in this process (0 when unknown): *entry == ip tells whether
 * ip begins the function. */
const struct ptf_function *ptf_code_epoch_function_entry(
        const struct ptf_code_epoch *epoch, uint64_t ip, bool target, uint64_t *entry);

#endif
