/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's system calls: the trace goes off in them, and some of them change what a recorder
 * must know (mappings, names, processes, signal handlers).
 */
#include "sim.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define GUEST_PAGE 4096u
#define READ_PAGES 64u /* at a time */
#define MAX_PATH 4096u
#define MAX_STRING (1u << 20)
#define FORK_WAIT_MS 5000
#define COMM_FDS 16

/* Descriptors open on a thread's comm file. */
static struct {
	int fd, tid;
} comm_fds[COMM_FDS];
static pthread_mutex_t comm_lock = PTHREAD_MUTEX_INITIALIZER;

size_t sim_guest_read(uint64_t addr, void *out, size_t size)
{
	size_t in_page = GUEST_PAGE - addr % GUEST_PAGE, done = 0;

	/* Vectors that were read in part do not count: each is of one page. */
	while (done < size) {
		struct iovec local = {(char *)out + done, 0}, remote[READ_PAGES];
		size_t n = 0;
		ssize_t got;

		for (; n < READ_PAGES && done + local.iov_len < size; n++) {
			size_t left = size - done - local.iov_len;
			size_t part = left < in_page ? left : in_page;

			remote[n] = (struct iovec){(void *)(addr + done + local.iov_len), part};
			local.iov_len += part;
			in_page = GUEST_PAGE;
		}
		got = process_vm_readv(getpid(), &local, 1, remote, n, 0);
		done += got > 0 ? (size_t)got : 0;
		if (got != (ssize_t)local.iov_len)
			break;
	}
	return done;
}

/* At most `limit` bytes with the terminator. */
static char *guest_string(uint64_t addr, size_t limit)
{
	size_t cap = 256, n = 0;
	char *text = NULL, *grown;

	for (; cap <= limit; cap *= 4) {
		grown = realloc(text, cap);
		if (!grown)
			break;
		text = grown;
		n += sim_guest_read(addr + n, text + n, cap - n);
		if (memchr(text, 0, n))
			return text;
		if (n < cap)
			break;
	}
	free(text);
	return NULL;
}

char *sim_guest_string(uint64_t addr)
{
	return guest_string(addr, MAX_PATH);
}

char *sim_guest_long_string(uint64_t addr)
{
	return guest_string(addr, MAX_STRING);
}

static bool makes_thread(const struct sim_thread *t)
{
	return t->call_num == SYS_clone && t->call_args[0] & CLONE_VM &&
	       !(t->call_args[0] & CLONE_VFORK);
}

static bool makes_process(const struct sim_thread *t)
{
	return t->call_num == SYS_fork || t->call_num == SYS_vfork ||
	       (t->call_num == SYS_clone && !makes_thread(t));
}

static struct sim_thread *thread_by_id(int real_tid)
{
	struct sim_thread *t;

	for (t = sim.threads; t && t->real_tid != real_tid;)
		t = t->next;
	return t;
}

static void rename_thread(struct sim_thread *caller, struct sim_thread *t, const char *name)
{
	struct ptf_sim_comm comm = {
	        .time_ns = sim_thread_time(caller), .pid = t->pid, .tid = t->tid};

	sim_thread_set_comm(t, name);
	if (sim.recording)
		sim_server_send(PTF_SIM_COMM, &comm, sizeof(comm), t->comm, strlen(t->comm) + 1);
}

static void rename_by_guest(struct sim_thread *caller, int real_tid, uint64_t addr, size_t size)
{
	char name[SIM_COMM_SIZE] = "";
	struct sim_thread *t;

	if (size >= sizeof(name))
		size = sizeof(name) - 1;
	(void)sim_guest_read(addr, name, size);
	name[strcspn(name, "\n")] = 0;
	pthread_mutex_lock(&sim.threads_lock);
	if ((t = thread_by_id(real_tid)))
		rename_thread(caller, t, name);
	pthread_mutex_unlock(&sim.threads_lock);
}

static void set_name(struct sim_thread *t)
{
	size_t size = 0;
	char c;

	while (size < SIM_COMM_SIZE - 1 && sim_guest_read(t->call_args[1] + size, &c, 1) == 1 && c)
		size++;
	rename_by_guest(t, t->real_tid, t->call_args[1], size);
}

/* The thread whose name the file of this path is; 0 for other files. */
static int comm_file_of(const struct sim_thread *t, uint64_t addr)
{
	char path[64];
	size_t n = sim_guest_read(addr, path, sizeof(path) - 1);
	int tid = 0, end = 0;

	path[n] = 0;
	if (strncmp(path, "/proc/", 6) != 0)
		return 0;
	if (sscanf(path, "/proc/self/task/%d/comm%n", &tid, &end) != 1 || !end)
		if (sscanf(path, "/proc/%*d/task/%d/comm%n", &tid, &end) != 1 || !end)
			return strcmp(path, "/proc/self/comm") == 0 ? t->real_pid : 0;
	return path[end] ? 0 : tid;
}

static void comm_fd_set(int fd, int tid)
{
	int i, slot = -1;

	pthread_mutex_lock(&comm_lock);
	for (i = 0; i < COMM_FDS; i++)
		if ((comm_fds[i].tid && comm_fds[i].fd == fd) || (slot < 0 && !comm_fds[i].tid))
			slot = i;
	if (slot >= 0) {
		comm_fds[slot].fd = fd;
		comm_fds[slot].tid = tid;
	}
	pthread_mutex_unlock(&comm_lock);
}

static int comm_fd_get(int fd)
{
	int i;

	for (i = 0; i < COMM_FDS; i++)
		if (comm_fds[i].tid && comm_fds[i].fd == fd)
			return comm_fds[i].tid;
	return 0;
}

static void before_fork(struct sim_thread *t)
{
	if (!makes_process(t))
		return;
	sim_log_flush(t);
	if (sim.clock == PTF_SIM_CLOCK_INSN)
		t->child_id = sim_thread_new_id();
}

void sim_syscall_enter(struct sim_thread *t, int64_t num, const uint64_t *args)
{
	sim_flow_syscall(t);
	t->call_num = num;
	memcpy(t->call_args, args, sizeof(t->call_args));
	switch (num) {
	case SYS_exit:
		sim_thread_exit(t);
		return;
	case SYS_exit_group:
		sim_server_end(t);
		break;
	case SYS_execve:
		sim_exec(t, args[0], args[1], args[2]);
		break;
	case SYS_close:
		if (comm_fd_get((int)args[0]))
			comm_fd_set((int)args[0], 0);
		break;
	case SYS_open:
		t->comm_of = comm_file_of(t, args[0]);
		break;
	case SYS_openat:
		t->comm_of = comm_file_of(t, args[1]);
		break;
	case SYS_fork:
	case SYS_vfork:
	case SYS_clone:
		before_fork(t);
		break;
	}
	t->gate = SIM_GATE_FREE;
}

static void take_gate(struct sim_thread *t)
{
	int expected = SIM_GATE_FREE;

	while (!atomic_compare_exchange_weak(&t->gate, &expected, SIM_GATE_THREAD)) {
		expected = SIM_GATE_FREE;
		sched_yield();
	}
}

static void learn_handler(const struct sim_thread *t)
{
	uint64_t action[3]; /* handler, flags, restorer */

	if (t->call_args[1] &&
	        sim_guest_read(t->call_args[1], action, sizeof(action)) == sizeof(action))
		sim_signal_action((int)t->call_args[0], action[0], action[2]);
}

static void after_fork(struct sim_thread *t, int64_t ret)
{
	struct ptf_sim_task task;
	bool recording = sim.recording;

	if (ret == 0 && getpid() != sim.real_pid) {
		sim.recording = false;
		sim.epoch++;
		sim.waiting = recording;
		sim_server_forked();
		sim_thread_forked(t, t->child_id);
		t->epoch = sim.epoch;
		sim_server_settled();
		if (sim_server_start() && recording)
			sim_server_wait(FORK_WAIT_MS);
		t->fresh = sim.recording; /* its parent was recorded: its stack is known */
	} else if (ret > 0 && recording) {
		sim_thread_task(t, sim_thread_time(t), &task);
		task.ppid = t->pid;
		task.ptid = t->tid;
		task.real_pid = task.real_tid = (int32_t)ret;
		task.pid = task.tid = t->child_id ? t->child_id : (int32_t)ret;
		sim_server_send(PTF_SIM_FORK, &task, sizeof(task), NULL, 0);
	}
}

void sim_syscall_return(struct sim_thread *t, int64_t num, int64_t ret)
{
	const uint64_t *args = t->call_args;
	bool failed = ret < 0 && ret >= -4095;

	take_gate(t);
	if (failed)
		return;
	switch (num) {
	case SYS_mmap:
		sim_maps_map(t, (uint64_t)ret, args[1], (int)args[2], (int)args[3], (int)args[4],
		        args[5]);
		break;
	case SYS_munmap:
		sim_maps_unmap(args[0], args[1]);
		break;
	case SYS_mprotect:
	case SYS_pkey_mprotect:
		sim_maps_protect(t, args[0], args[1], (int)args[2]);
		break;
	case SYS_mremap:
		sim_maps_move(t, args[0], args[1], (uint64_t)ret, args[2]);
		break;
	case SYS_rt_sigaction:
		learn_handler(t);
		break;
	case SYS_prctl:
		if (args[0] == PR_SET_NAME)
			set_name(t);
		break;
	case SYS_open:
	case SYS_openat:
		if (t->comm_of)
			comm_fd_set((int)ret, t->comm_of);
		break;
	case SYS_write:
		if (comm_fd_get((int)args[0]))
			rename_by_guest(t, comm_fd_get((int)args[0]), args[1], (size_t)ret);
		break;
	case SYS_fork:
	case SYS_vfork:
	case SYS_clone:
		if (makes_process(t))
			after_fork(t, ret);
		break;
	}
}
