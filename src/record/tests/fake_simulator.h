/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's end of include/ptflame/sim_protocol.h for tests of the recorder: a thread that
 * plays a script. Calls assert with cmocka's rules, so a script fails its test.
 */
#ifndef PTF_FAKE_SIMULATOR_H
#define PTF_FAKE_SIMULATOR_H

#include <stdint.h>
#include <sys/types.h>

#include <ptflame/sim_protocol.h>

struct fake_simulator {
	int fd;      /* the server's end */
	int32_t pid; /* guest's */
	int32_t tid; /* guest's, of the thread that most calls are about */
	pid_t real_pid, real_tid;
	uint64_t aux_offset; /* bytes of AUX data sent of `tid` */
};

void fake_send(struct fake_simulator *sim, uint32_t type, const void *body, size_t size,
        const void *tail, size_t tail_size);
/* Waits for a message of the client: its type, body into *body (64 bytes); 0 when it closed. */
uint32_t fake_receive(struct fake_simulator *sim, void *body);

void fake_hello(struct fake_simulator *sim, uint32_t clock);
/* THREAD and, when `wait`, the client's THREAD_ACK. */
void fake_thread(struct fake_simulator *sim, uint64_t time_ns, const char *comm);
void fake_mmap(struct fake_simulator *sim, uint64_t time_ns, uint64_t addr, const char *file);
void fake_time(struct fake_simulator *sim, uint32_t type, uint64_t time_ns);
void fake_exit(struct fake_simulator *sim, uint64_t time_ns);
/* `size` bytes of the pattern byte = offset * 7 + tid, in messages of `step` bytes. */
void fake_aux(struct fake_simulator *sim, size_t size, size_t step);
void fake_close(struct fake_simulator *sim);

/* A socket at the place where the recorder looks for process pid. */
int fake_listen(pid_t pid);

uint64_t fake_now_ns(void);

#endif
