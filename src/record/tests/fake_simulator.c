/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "record/tests/fake_simulator.h"

/* cmocka's asserts may not be used outside of the test's thread. */
static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static void write_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the recorder has gone: the script goes on alone */
		at += n;
		size -= (size_t)n;
	}
}

void fake_send(struct fake_simulator *sim, uint32_t type, const void *body, size_t size,
        const void *tail, size_t tail_size)
{
	struct ptf_sim_header header = {.type = type, .size = (uint32_t)(size + tail_size)};

	write_all(sim->fd, &header, sizeof(header));
	write_all(sim->fd, body, size);
	write_all(sim->fd, tail, tail_size);
}

uint32_t fake_receive(struct fake_simulator *sim, void *body)
{
	struct ptf_sim_header header;
	uint8_t scratch[64];

	if (recv(sim->fd, &header, sizeof(header), MSG_WAITALL) != sizeof(header))
		return 0;
	must(header.size <= sizeof(scratch), "message of the recorder");
	if (header.size)
		must(recv(sim->fd, scratch, header.size, MSG_WAITALL) == (ssize_t)header.size,
		        "body of the recorder's message");
	if (body)
		memcpy(body, scratch, header.size);
	return header.type;
}

void fake_hello(struct fake_simulator *sim, uint32_t clock)
{
	struct ptf_sim_hello hello = {.version = PTF_SIM_PROTOCOL_VERSION,
	        .clock = clock,
	        .real_pid = sim->real_pid,
	        .pid = sim->pid,
	        .dilation = 12.5};

	fake_send(sim, PTF_SIM_HELLO, &hello, sizeof(hello), NULL, 0);
}

static struct ptf_sim_task task(const struct fake_simulator *sim, uint64_t time_ns)
{
	return (struct ptf_sim_task){.time_ns = time_ns,
	        .pid = sim->pid,
	        .tid = sim->tid,
	        .ppid = 1,
	        .ptid = 1,
	        .real_pid = sim->real_pid,
	        .real_tid = sim->real_tid};
}

void fake_thread(struct fake_simulator *sim, uint64_t time_ns, const char *comm)
{
	struct ptf_sim_task message = task(sim, time_ns);
	struct ptf_sim_thread_ack ack[16];

	fake_send(sim, PTF_SIM_THREAD, &message, sizeof(message), comm, strlen(comm) + 1);
	must(fake_receive(sim, ack) == PTF_SIM_THREAD_ACK, "answer to THREAD");
	must(ack[0].real_tid == sim->real_tid, "thread id of the answer to THREAD");
}

void fake_mmap(struct fake_simulator *sim, uint64_t time_ns, uint64_t addr, const char *file)
{
	struct ptf_sim_mmap map = {.time_ns = time_ns,
	        .pid = sim->pid,
	        .tid = sim->tid,
	        .addr = addr,
	        .len = 0x2000,
	        .pgoff = 0x1000,
	        .maj = 8,
	        .min = 1,
	        .ino = 42,
	        .prot = PROT_READ | PROT_EXEC,
	        .flags = MAP_PRIVATE};

	fake_send(sim, PTF_SIM_MMAP, &map, sizeof(map), file, strlen(file) + 1);
}

void fake_time(struct fake_simulator *sim, uint32_t type, uint64_t time_ns)
{
	struct ptf_sim_time time = {.time_ns = time_ns};

	fake_send(sim, type, &time, sizeof(time), NULL, 0);
}

void fake_exit(struct fake_simulator *sim, uint64_t time_ns)
{
	struct ptf_sim_task message = task(sim, time_ns);

	fake_send(sim, PTF_SIM_EXIT, &message, sizeof(message), NULL, 0);
}

void fake_aux(struct fake_simulator *sim, size_t size, size_t step)
{
	uint8_t *bytes = malloc(size);

	must(bytes != NULL, "memory");
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((sim->aux_offset + i) * 7 + (unsigned)sim->tid);
	for (size_t at = 0; at < size; at += step) {
		struct ptf_sim_aux aux = {.offset = sim->aux_offset,
		        .pid = sim->pid,
		        .tid = sim->tid,
		        .size = (uint32_t)(size - at < step ? size - at : step)};

		fake_send(sim, PTF_SIM_AUX, &aux, sizeof(aux), bytes + at, aux.size);
		sim->aux_offset += aux.size;
	}
	free(bytes);
}

void fake_close(struct fake_simulator *sim)
{
	close(sim->fd);
	sim->fd = -1;
}

int fake_listen(pid_t pid)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char dir[64];
	int fd;

	snprintf(dir, sizeof(dir), PTF_SIM_SOCKET_DIR_FORMAT, (unsigned)getuid());
	mkdir(dir, 0700);
	snprintf(at.sun_path, sizeof(at.sun_path), PTF_SIM_SOCKET_FORMAT, (unsigned)getuid(),
	        (int)pid);
	unlink(at.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4) == 0,
	        at.sun_path);
	return fd;
}

uint64_t fake_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
