/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "qemu_plugin_abi.h"

#define DEFAULT_BUFFER_SIZE (128u << 10)
#define MIN_BUFFER_SIZE 4096u
#define MAX_VCPUS 65536u
#define ACK_POLL_US 50
#define ACK_TIMEOUT_US 2000000
#define CALIBRATION_NS 2000000u

/* What a thread gets from the one that made it, by the number of its virtual CPU. */
static struct {
	int32_t ptid, tid;
	uint32_t epoch;
	uint64_t insns;
	char comm[SIM_COMM_SIZE];
} births[MAX_VCPUS];

__thread struct sim_thread *sim_self __attribute__((tls_model("initial-exec")));

uint64_t sim_clock_monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sim_clock_calibrate(void)
{
	uint64_t ns = sim_clock_monotonic(), tsc = __rdtsc(), end, ticks;

	do
		end = sim_clock_monotonic();
	while (end - ns < CALIBRATION_NS);
	ticks = __rdtsc() - tsc;
	sim.ns_per_tick = ((end - ns) << SIM_TICK_SHIFT) / ticks;
	sim.clock_renew_ticks = ticks / 2;
}

int32_t sim_thread_new_id(void)
{
	return atomic_fetch_add(sim.next_id, 1);
}

void sim_thread_birth(unsigned vcpu)
{
	struct sim_thread *parent = sim_self;
	unsigned i = vcpu % MAX_VCPUS;

	if (!parent)
		return;
	births[i].ptid = parent->tid;
	births[i].insns = parent->insns;
	births[i].epoch = sim.epoch;
	births[i].tid = sim.clock == PTF_SIM_CLOCK_INSN ? sim_thread_new_id() : 0;
	memcpy(births[i].comm, parent->comm, SIM_COMM_SIZE);
}

void sim_thread_set_comm(struct sim_thread *t, const char *comm)
{
	snprintf(t->comm, sizeof(t->comm), "%s", comm);
}

void sim_process_name(void)
{
	const char *path = qemu_plugin_path_to_binary(), *slash = path ? strrchr(path, '/') : NULL;

	sim.exe_path = path;
	if (!sim.comm[0])
		snprintf(sim.comm, sizeof(sim.comm), "%s", slash ? slash + 1 : path ? path : "?");
}

uint64_t sim_thread_time(struct sim_thread *t)
{
	uint64_t latest = sim.clock_start;
	struct sim_thread *i;

	if (sim.clock == PTF_SIM_CLOCK_REAL)
		return sim_clock_monotonic();
	if (t)
		return t->insns;
	for (i = sim.threads; i; i = i->next)
		if (i->insns > latest)
			latest = i->insns;
	return latest;
}

void sim_thread_task(const struct sim_thread *t, uint64_t time, struct ptf_sim_task *task)
{
	*task = (struct ptf_sim_task){.time_ns = time,
	        .pid = t->pid,
	        .tid = t->tid,
	        .ppid = sim.pid,
	        .ptid = t->ptid,
	        .real_pid = t->real_pid,
	        .real_tid = t->real_tid};
}

bool sim_thread_buffer(struct sim_thread *t)
{
	size_t size = sim.start.buffer_size ? sim.start.buffer_size : DEFAULT_BUFFER_SIZE;
	void *buffer;

	if (size < MIN_BUFFER_SIZE)
		size = MIN_BUFFER_SIZE;
	if (t->buffer && t->buffer_size == size)
		return true;
	if (t->buffer)
		munmap(t->buffer, t->buffer_size);
	buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->buffer = buffer == MAP_FAILED ? NULL : buffer;
	t->buffer_size = size;
	return t->buffer != NULL;
}

static void release(struct sim_thread *t)
{
	if (t->buffer)
		munmap(t->buffer, t->buffer_size);
	sim_log_close(t);
	free(t);
}

static void identify(struct sim_thread *t, unsigned vcpu, bool first)
{
	unsigned i = vcpu % MAX_VCPUS;

	t->real_pid = getpid();
	t->real_tid = gettid();
	t->pid = sim.pid;
	t->ptid = first ? sim.ppid : births[i].ptid;
	t->insns = first ? sim.clock_start : births[i].insns;
	t->tid = first ? sim.pid : sim.clock == PTF_SIM_CLOCK_INSN ? births[i].tid : t->real_tid;
	t->fresh = first || births[i].epoch == sim.epoch;
	memcpy(t->comm, first ? sim.comm : births[i].comm, SIM_COMM_SIZE);
	if (first)
		pthread_setname_np(pthread_self(), t->comm); /* not "qemu-x86_64" */
}

/* Tells the client of the thread; with the real clock the client must have seen it before it runs
 * on, so as to watch its context switches from the beginning. */
static void announce(struct sim_thread *t)
{
	struct ptf_sim_task task;
	int waited;

	sim_thread_task(t, sim_thread_time(t), &task);
	sim_server_send(PTF_SIM_THREAD, &task, sizeof(task), t->comm, strlen(t->comm) + 1);
	if (sim.clock != PTF_SIM_CLOCK_REAL || sim.calibrate)
		return;
	for (waited = 0; !t->acked && sim.recording && waited < ACK_TIMEOUT_US;
	        waited += ACK_POLL_US)
		usleep(ACK_POLL_US);
}

struct sim_thread *sim_thread_enter(unsigned vcpu)
{
	struct sim_thread *t = calloc(1, sizeof(*t));
	bool first = !sim.started, recording;

	if (!t)
		abort();
	sim_self = t;
	sim.started = true;
	if (first)
		sim_process_name();
	identify(t, vcpu, first);
	if (first)
		sim_maps_init();
	sim_log_open(t);
	pthread_mutex_lock(&sim.threads_lock);
	t->next = sim.threads;
	sim.threads = t;
	if (!first) /* its creator may have named it already */
		(void)prctl(PR_GET_NAME, t->comm);
	recording = sim.recording;
	t->epoch = sim.epoch - recording; /* begins with its first block */
	pthread_mutex_unlock(&sim.threads_lock);
	if (recording)
		announce(t);
	if (first) {
		sim.ready = true;
		sim_server_wait(sim.wait_ms);
		pthread_mutex_lock(&sim.threads_lock);
		if (!sim.recording)
			sim_server_settled();
		pthread_mutex_unlock(&sim.threads_lock);
	}
	return t;
}

void sim_thread_exit(struct sim_thread *t)
{
	struct sim_thread **link;
	struct ptf_sim_task task;

	sim_flow_finish(t);
	t->gate = SIM_GATE_FREE; /* nobody need wait for it */
	pthread_mutex_lock(&sim.threads_lock);
	for (link = &sim.threads; *link && *link != t;)
		link = &(*link)->next;
	if (*link)
		*link = t->next;
	if (sim.recording) {
		sim_thread_task(t, sim_thread_time(t), &task);
		sim_server_send(PTF_SIM_EXIT, &task, sizeof(task), NULL, 0);
	}
	pthread_mutex_unlock(&sim.threads_lock);
	sim_self = NULL;
	release(t);
}

void sim_thread_forked(struct sim_thread *t, int32_t pid)
{
	struct sim_thread *other, *next;

	for (other = sim.threads; other; other = next) {
		next = other->next;
		if (other != t)
			release(other);
	}
	sim.threads = t;
	t->next = NULL;
	sim.ppid = sim.pid;
	sim.real_pid = getpid();
	sim.pid = sim.clock == PTF_SIM_CLOCK_INSN ? pid : sim.real_pid;
	t->ptid = t->tid;
	t->pid = t->tid = sim.pid;
	t->real_pid = t->real_tid = sim.real_pid;
	t->recording = t->on = t->acked = false;
	t->encoder.n = 0;
	sim_log_close(t);
	sim_log_open(t);
}

static void send_and_wait(struct sim_thread *t, const struct ptf_sim_aux *aux)
{
	bool real = sim.clock == PTF_SIM_CLOCK_REAL;

	t->waited_from_ns = real ? sim_clock_monotonic() : 0;
	sim_server_send(PTF_SIM_AUX, aux, sizeof(*aux), t->buffer, aux->size);
	t->waited_to_ns = real ? sim_clock_monotonic() : 0;
}

void sim_thread_flush(struct sim_thread *t, bool last)
{
	uint64_t n = t->encoder.n;
	struct ptf_sim_aux aux = {.offset = t->offset,
	        .size = (uint32_t)n,
	        .flags = t->lost,
	        .pid = t->pid,
	        .tid = t->tid,
	        .waited_from_ns = t->waited_from_ns,
	        .waited_to_ns = t->waited_to_ns};

	if (!n)
		return;
	t->encoder.n = 0;
	t->waited_from_ns = t->waited_to_ns = 0;
	if (!sim.start.lossy || last) {
		send_and_wait(t, &aux);
	} else if (!sim_server_try_send(PTF_SIM_AUX, &aux, sizeof(aux), t->buffer, n)) {
		sim.lost_bytes += n;
		t->overflow = t->lost = true;
		return;
	}
	sim.aux_bytes += n;
	t->offset += n;
	t->lost = false;
}
