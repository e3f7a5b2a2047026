/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record/stack_copy.h"

#define STOP_WAIT_NS 50000000u /* for a thread to stop before the others have their turn */
#define STOP_POLL_NS 20000u
enum { PASSES = 100 }; /* over a process that makes threads all the time */

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory for stacks");
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the perf clock ---- */

/* No system call tells it, but every record has its time, and giving ourselves the name that we
 * have makes a record. */
int ptf_stack_copies_init(struct ptf_stack_copies *copies, struct ptf_error *err)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
	        .size = sizeof(attr),
	        .config = PERF_COUNT_SW_DUMMY,
	        .sample_type = PERF_SAMPLE_TIME,
	        .sample_id_all = 1,
	        .comm = 1,
	        .exclude_kernel = 1,
	        .exclude_hv = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	void *ring = MAP_FAILED;
	int errnum = errno;

	*copies = (struct ptf_stack_copies){0};
	if (fd >= 0) {
		ring = mmap(
		        NULL, 2 * (size_t)getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		errnum = errno;
		close(fd);
	}
	if (ring == MAP_FAILED)
		return ptf_error_set_errno(err, errnum, "the perf clock");
	copies->clock = ring;
	copies->scratch = mmap(NULL, PTF_UNWIND_STACK_MAX, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copies->scratch != MAP_FAILED)
		return 0;
	copies->scratch = NULL;
	ptf_stack_copies_release(copies);
	return no_memory(err);
}

uint64_t ptf_stack_copies_now(const struct ptf_stack_copies *copies)
{
	struct perf_event_mmap_page *page = copies->clock;
	const uint8_t *data = (const uint8_t *)copies->clock + getpagesize();
	char name[16] = "";
	uint64_t head, ns;

	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NAME, name);
	head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	/* Records are multiples of 8 bytes, and the time is the last field. */
	memcpy(&ns, data + (head - sizeof(ns)) % (uint64_t)getpagesize(), sizeof(ns));
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
	return ns;
}

void ptf_stack_copies_release(struct ptf_stack_copies *copies)
{
	ptf_vec_foreach (thread, &copies->threads) {
		/* Nobody is left waiting for us: the kernel detaches whom we leave when we end. */
		free((void *)thread->copy.stack);
	}
	ptf_vec_foreach (process, &copies->processes)
		ptf_vec_release(&process->maps);
	ptf_vec_release(&copies->threads);
	ptf_vec_release(&copies->processes);
	ptf_arena_release(&copies->arena);
	if (copies->scratch)
		munmap(copies->scratch, PTF_UNWIND_STACK_MAX);
	if (copies->clock)
		munmap(copies->clock, 2 * (size_t)getpagesize());
	*copies = (struct ptf_stack_copies){0};
}

/* ---- code ---- */

static struct ptf_process_code *code_of(struct ptf_stack_copies *copies, pid_t pid)
{
	struct ptf_process_code code = {.pid = pid};

	ptf_vec_foreach (process, &copies->processes) {
		if (process->pid == pid)
			return process;
	}
	return ptf_vec_push(&copies->processes, code)
	               ? &copies->processes.v[copies->processes.n - 1]
	               : NULL;
}

static bool add_map(struct ptf_stack_copies *copies, struct ptf_process_code *code, char *line)
{
	unsigned long start, end, offset;
	char execute, *name;
	int at = 0;
	struct ptf_unwind_map map;

	if (sscanf(line, "%lx-%lx %*c%*c%c%*c %lx %*s %*s %n", &start, &end, &execute, &offset,
	            &at) < 4 ||
	        !at || execute != 'x')
		return true;
	name = line + at;
	name[strcspn(name, "\n")] = '\0';
	map = (struct ptf_unwind_map){.addr = start,
	        .len = end - start,
	        .pgoff = offset,
	        .path = ptf_arena_strdup(&copies->arena, name)};
	return map.path && ptf_vec_push(&code->maps, map);
}

/* The code of a process as it is mapped now. */
static int read_maps(struct ptf_stack_copies *copies, pid_t pid, struct ptf_error *err)
{
	struct ptf_process_code *code = code_of(copies, pid);
	char path[64], *line = NULL;
	size_t cap = 0;
	bool ok = true;
	FILE *file;

	if (!code)
		return no_memory(err);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return ptf_error_set_errno(err, errno, "%s", path);
	code->maps.n = 0;
	while (ok && getline(&line, &cap, file) > 0)
		ok = add_map(copies, code, line);
	free(line);
	fclose(file);
	return ok ? 0 : no_memory(err);
}

/* ---- one thread ---- */

/* Copies what is mapped from the red zone below the stack pointer upwards into the scratch memory.
 * A vector is copied whole or not at all, so each is a page. */
static void copy_stack(struct ptf_thread_copy *copy, uint8_t *scratch, pid_t tid)
{
	enum { VECTORS = 256 };
	size_t page = (size_t)getpagesize(), room = PTF_UNWIND_STACK_MAX;
	bool more = true;

	copy->addr = copy->regs[PTF_UNWIND_RSP] - PTF_UNWIND_RED_ZONE;
	while (more && copy->size < room) {
		struct iovec local = {scratch + copy->size, 0}, remote[VECTORS];
		uint64_t at = copy->addr + copy->size;
		ssize_t got;

		for (size_t i = 0; i < VECTORS; i++) {
			size_t part = page - at % page;

			if (part > room - copy->size - local.iov_len)
				part = room - copy->size - local.iov_len;
			remote[i] = (struct iovec){(void *)at, part}; // NOLINT: its, not ours
			local.iov_len += part;
			at += part;
		}
		got = process_vm_readv(tid, &local, 1, remote, VECTORS, 0);
		copy->size += got > 0 ? (size_t)got : 0;
		more = got == (ssize_t)local.iov_len;
	}
}

/* Gives the copy memory of its own: not while its thread waits. */
static void keep_stack(struct ptf_thread_copy *copy, const uint8_t *scratch)
{
	uint8_t *stack = malloc(copy->size + 1);

	if (stack)
		memcpy(stack, scratch, copy->size);
	copy->stack = stack;
}

static bool copy_registers(struct ptf_thread_copy *copy, pid_t tid)
{
	struct user_regs_struct r;
	struct iovec io = {&r, sizeof(r)};

	/* A 32-bit process has another, shorter set. */
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &io) < 0 || io.iov_len != sizeof(r))
		return false;
	memcpy(copy->regs,
	        (const uint64_t[PTF_UNWIND_REGS]){r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp,
	                r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip},
	        sizeof(copy->regs));
	return true;
}

/* Copies a stopped thread and lets it go. A signal that stopped it is delivered after all. */
static void copy_and_release(
        struct ptf_stack_copies *copies, struct ptf_stack_copy *thread, int status)
{
	int signal = status >> 16 ? 0 : WSTOPSIG(status);
	uint64_t stop_ns;
	bool copied;

	thread->waiting = false;
	thread->time_ns = ptf_stack_copies_now(copies);
	copied = copy_registers(&thread->copy, thread->tid);
	if (copied)
		copy_stack(&thread->copy, copies->scratch, thread->tid);
	ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(long)signal);
	stop_ns = monotonic_ns() - thread->asked_ns;
	if (stop_ns > copies->longest_stop_ns)
		copies->longest_stop_ns = stop_ns;
	if (copied)
		keep_stack(&thread->copy, copies->scratch);
}

/* Looks whether the thread has stopped, then copies it. */
static void look_at(struct ptf_stack_copies *copies, struct ptf_stack_copy *thread)
{
	int status;
	pid_t pid = waitpid(thread->tid, &status, __WALL | WNOHANG);

	if (pid == 0)
		return;
	if (pid > 0 && WIFSTOPPED(status))
		copy_and_release(copies, thread, status);
	else
		thread->waiting = false; /* it ended */
}

static void stop_and_copy(struct ptf_stack_copies *copies, struct ptf_stack_copy *thread)
{
	const struct timespec nap = {.tv_nsec = STOP_POLL_NS};

	if (ptrace(PTRACE_SEIZE, thread->tid, NULL, NULL) < 0) {
		copies->refused += errno == EPERM;
		return;
	}
	thread->asked_ns = monotonic_ns();
	thread->waiting = ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) == 0;
	while (thread->waiting && monotonic_ns() - thread->asked_ns < STOP_WAIT_NS) {
		look_at(copies, thread);
		if (thread->waiting)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
}

bool ptf_stack_copies_poll(struct ptf_stack_copies *copies)
{
	bool waits = false;

	ptf_vec_foreach (thread, &copies->threads) {
		if (!thread->waiting)
			continue;
		/* How long it waits in the kernel is not our doing: the stop begins at its end. */
		thread->asked_ns = monotonic_ns();
		look_at(copies, thread);
		waits |= thread->waiting;
	}
	return waits;
}

/* ---- all threads ---- */

static bool is_known(const struct ptf_stack_copies *copies, pid_t tid)
{
	ptf_vec_foreach (thread, &copies->threads) {
		if (thread->tid == tid)
			return true;
	}
	return false;
}

static int take_thread(struct ptf_stack_copies *copies, pid_t pid, pid_t tid, struct ptf_error *err)
{
	struct ptf_stack_copy thread = {.pid = pid, .tid = tid};

	if (!ptf_vec_push(&copies->threads, thread))
		return no_memory(err);
	stop_and_copy(copies, &copies->threads.v[copies->threads.n - 1]);
	return 0;
}

/* Takes the threads that are new; *any: there were some. */
static int take_new(struct ptf_stack_copies *copies, pid_t pid, bool *any, struct ptf_error *err)
{
	const struct dirent *entry;
	char path[64];
	int rc = 0;
	DIR *dir;

	*any = false;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return ptf_error_set_errno(err, errno, "%s", path);
	while (rc == 0 && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || is_known(copies, tid))
			continue;
		*any = true;
		rc = take_thread(copies, pid, tid, err);
	}
	closedir(dir);
	return rc;
}

int ptf_stack_copies_take(
        struct ptf_stack_copies *copies, pid_t pid, pid_t only_tid, struct ptf_error *err)
{
	bool any = true;
	int rc = 0;

	if (only_tid) {
		rc = read_maps(copies, pid, err);
		return rc < 0 ? rc : take_thread(copies, pid, only_tid, err);
	}
	for (int pass = 0; pass < PASSES && any && rc == 0; pass++) {
		/* Anew for each pass: new threads may run new code. */
		rc = read_maps(copies, pid, err);
		if (rc == 0)
			rc = take_new(copies, pid, &any, err);
	}
	return rc;
}
