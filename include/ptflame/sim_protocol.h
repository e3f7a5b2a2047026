/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control protocol between the PT simulator (a QEMU plugin inside the simulated process, the
 * server) and the recorder (the client), over a Unix stream socket of mode 0600:
 *
 *     /tmp/ptflame-sim-UID/PID.sock        (UID: real user of the process; directory mode 0700)
 *
 * One client at a time. Every message is a struct ptf_sim_header followed by `size` bytes:
 * the fixed struct of its type, then its variable part. Integers are in host byte order (both
 * ends are on one machine). Unknown types are skipped.
 *
 * Course: the server sends HELLO. The client sends START; the server answers with the state of
 * the process (PROCESS, MMAP for every executable mapping, one THREAD for every thread), then
 * STARTED, and from then on events as they happen and AUX data. Of every thread that has run
 * before, a STACK comes between STARTED and its first AUX data. On STOP it ends the streams
 * (TIP.PGD), sends the rest of the AUX data, then STOPPED. The client may START again or close.
 * At the end of the process (exit, death by a signal that can be caught, execve) it does the same
 * unasked. A stream's AUX offsets begin at 0 with every START.
 *
 * THREAD for a new thread must be answered with THREAD_ACK before that thread runs its first
 * guest instruction, so that the client can open its context-switch event (real clock only;
 * sent, but not waited for, with the insn clock). After fork, the child makes a socket of its own
 * and, while its parent is being recorded, waits up to 5 s for a client's START before it runs on;
 * FORK (sent by the parent) tells the client the child's pid. After execve into the simulator again
 * (EXEC, then the connection closes) the same pid comes back with a new socket and waits likewise.
 *
 * pid and tid in messages are the guest's as recorded: with the insn clock canonical numbers
 * (1000, 1001, ...), real_pid/real_tid are the host's.
 */
#ifndef PTFLAME_SIM_PROTOCOL_H
#define PTFLAME_SIM_PROTOCOL_H

#include <stdint.h>

#define PTF_SIM_PROTOCOL_VERSION 2u
#define PTF_SIM_SOCKET_DIR_FORMAT "/tmp/ptflame-sim-%u"     /* real uid */
#define PTF_SIM_SOCKET_FORMAT "/tmp/ptflame-sim-%u/%d.sock" /* real uid, real pid */

/* The simulated CPU: what AUXTRACE_INFO, the PT event's config and the cpuid string say. */
#define PTF_SIM_TSC_HZ 1000000000ull   /* TSC ticks are nanoseconds */
#define PTF_SIM_MAX_NONTURBO_RATIO 10u /* 10 x 100 MHz bus; CBR packets say 10: 1 cycle = 1 ns */
#define PTF_SIM_MTC_FREQ_BITS 3u       /* MTC every 2^3 CTC ticks */
#define PTF_SIM_TSC_CTC_RATIO_N 40u    /* CTC = 25 MHz: TSC = CTC * 40 / 1 */
#define PTF_SIM_TSC_CTC_RATIO_D 1u
#define PTF_SIM_REGS 17u                     /* 16 general registers, then rip */
#define PTF_SIM_STACK_MAX (8u << 20)         /* bytes */
#define PTF_SIM_CPUID "GenuineIntel,6,158,9" /* family, model, stepping: no erratum applies */

enum ptf_sim_message {
	/* client to server */
	PTF_SIM_START = 1,      /* struct ptf_sim_start */
	PTF_SIM_STOP = 2,       /* nothing */
	PTF_SIM_THREAD_ACK = 3, /* struct ptf_sim_thread_ack */
	/* server to client */
	PTF_SIM_HELLO = 16,   /* struct ptf_sim_hello */
	PTF_SIM_PROCESS = 17, /* struct ptf_sim_task: the process itself (parent in ppid) */
	PTF_SIM_THREAD =
	        18, /* struct ptf_sim_task, then its comm, terminated: exists or was made */
	PTF_SIM_STARTED = 19, /* struct ptf_sim_time */
	PTF_SIM_MMAP = 20,    /* struct ptf_sim_mmap, then the file name, terminated */
	PTF_SIM_COMM = 21,    /* struct ptf_sim_comm, then the name, terminated */
	PTF_SIM_FORK = 22,    /* struct ptf_sim_task: new process (tid == pid) */
	PTF_SIM_EXEC = 23,    /* struct ptf_sim_exec, then the path, terminated */
	PTF_SIM_EXIT = 24,    /* struct ptf_sim_task */
	PTF_SIM_AUX = 25,     /* struct ptf_sim_aux, then the bytes */
	PTF_SIM_STOPPED = 26, /* struct ptf_sim_time */
	PTF_SIM_STACK = 27,   /* struct ptf_sim_stack, then stack memory */
};

struct ptf_sim_header {
	uint32_t type; /* enum ptf_sim_message */
	uint32_t size; /* bytes that follow */
};

struct ptf_sim_start {
	uint32_t lossy;       /* 1: drop data and send OVF instead of waiting for the client */
	uint32_t buffer_size; /* bytes of AUX buffer for each thread, 0: default */
	uint32_t timing;      /* 0 cyc (and MTC, TSC), 1 mtc, 2 tsc only */
	uint32_t psb_period;  /* bytes between PSBs, 0: default */
	uint32_t noretcomp;   /* 1: no compressed returns */
	uint32_t reserved;
};

struct ptf_sim_thread_ack {
	int32_t real_tid;
};

struct ptf_sim_hello {
	uint32_t version; /* PTF_SIM_PROTOCOL_VERSION */
	uint32_t clock;   /* enum ptf_sim_clock */
	int32_t real_pid;
	int32_t pid;
	double dilation;  /* of the calibration loop; 1 is native speed, 0 not measured (insn clock)
	                   */
	uint32_t waiting; /* 1: the process waits for START (after fork, exec or sim --wait) */
	uint32_t reserved;
};

struct ptf_sim_task {
	uint64_t time_ns; /* sideband clock; 0 for what existed before START */
	int32_t pid, tid, ppid, ptid;
	int32_t real_pid, real_tid;
};

struct ptf_sim_time {
	uint64_t time_ns;
	uint64_t aux_bytes;  /* STOPPED: bytes of packets made since START, lost ones not counted */
	uint64_t lost_bytes; /* STOPPED: bytes dropped (lossy) */
};

struct ptf_sim_mmap {
	uint64_t time_ns;
	int32_t pid, tid;
	uint64_t addr, len, pgoff; /* as in PERF_RECORD_MMAP2 */
	uint32_t maj, min;
	uint64_t ino;
	uint32_t prot, flags;
};

struct ptf_sim_comm {
	uint64_t time_ns;
	int32_t pid, tid;
	uint32_t exec; /* 1: by execve */
	uint32_t reserved;
};

struct ptf_sim_exec {
	uint64_t time_ns;
	int32_t pid, tid;
	uint32_t simulated; /* 0: what follows runs natively and is not seen */
	uint32_t reserved;
};

/* Where a thread is, from time_ns up to its first packet, with what it takes to unwind its stack.
 */
struct ptf_sim_stack {
	uint64_t time_ns;
	int32_t pid, tid;
	uint64_t regs[PTF_SIM_REGS]; /* by the DWARF numbers of x86-64 (psABI, figure 3.36) */
	uint64_t addr;               /* of the memory that follows: from below the stack pointer up
	                              * to the end of what is mapped, or PTF_SIM_STACK_MAX bytes */
};

struct ptf_sim_aux {
	uint64_t offset; /* of the first byte in the thread's stream */
	uint32_t size;   /* bytes that follow */
	uint32_t flags;  /* PTF_AUX_FLAG_TRUNCATED (1) when data was lost before these bytes */
	int32_t pid, tid;
	/* When the thread last waited for the client to take its data (sideband clock; both 0: it
	 * did not since its message before, or the clock does not go on meanwhile). */
	uint64_t waited_from_ns, waited_to_ns;
};

#endif
