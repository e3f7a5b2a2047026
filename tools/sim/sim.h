/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PT simulator: a QEMU plugin that plays the part of the trace hardware of every thread of one
 * process, and serves the control protocol of <ptflame/sim_protocol.h> from a helper thread.
 *
 *     sim_plugin.c    entry points that QEMU calls, options
 *     sim_block.c     what each translated block is, and where its last instruction can go
 *     sim_flow.c      executed blocks -> packets: the simulated hardware itself
 *     sim_signal.c    signal handlers and frames: what is an asynchronous entry
 *     sim_thread.c    threads, their buffers and clocks
 *     sim_syscall.c   what the process does that a recorder wants to know
 *     sim_maps.c      the guest's mappings
 *     sim_stack.c     where threads are when recording begins
 *     sim_exec.c      execve back into the simulator
 *     sim_death.c     death by a signal
 *     sim_server.c    the socket
 *     sim_log.c       what really ran, for tests
 *
 * A guest thread owns its struct sim_thread, except between the two callbacks of a system call:
 * then `gate` is free and the server may take it to end the stream.
 *
 * Locks are taken in this order: threads_lock, maps_lock, send_lock.
 */
#ifndef PTF_SIM_H
#define PTF_SIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <ptflame/record_info.h>
#include <ptflame/sim_protocol.h>

#include "pt/pt_encoder.h"

#define SIM_COMM_SIZE 16
#define SIM_WAIT_FOREVER (-1)
#define SIM_FIRST_ID 1000           /* canonical process and thread ids */
#define SIM_CLOCK_START 1000000000u /* insn clock at the first instruction, ns */
#define SIM_TICK_SHIFT 32
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum sim_kind {
	SIM_FALL,          /* no branch: page end, too many instructions */
	SIM_COND,          /* one TNT bit */
	SIM_JUMP,          /* direct */
	SIM_CALL,          /* direct */
	SIM_INDIRECT_JUMP, /* TIP */
	SIM_INDIRECT_CALL, /* TIP */
	SIM_RETURN,        /* TNT bit or TIP */
	SIM_FAR,           /* system call, software interrupt: trace off */
	SIM_REP,           /* string instruction that QEMU runs one turn at a time */
};

/* A translated block. Equal translations share one; never freed. */
struct sim_block {
	uint64_t pc, end;       /* [pc, end): guest addresses */
	uint64_t last_pc;       /* last instruction */
	uint64_t target;        /* of a direct branch */
	uint32_t insns;         /* instructions */
	uint8_t kind;           /* enum sim_kind */
	bool handler;           /* pc was registered as a signal handler */
	struct sim_block *next; /* same hash bucket */
};

enum sim_gate {
	SIM_GATE_THREAD, /* the thread itself uses its stream */
	SIM_GATE_FREE,   /* it is in a system call */
	SIM_GATE_SERVER, /* the server uses it meanwhile */
};

/* CLOCK_MONOTONIC by the time stamp counter, from an anchor that is renewed often. */
struct sim_clock {
	uint64_t tsc, ns; /* anchor */
	uint64_t last;    /* ns told last: never goes back */
};

struct sim_thread {
	struct sim_block *prev; /* block that runs (or just ran); NULL before the first */
	const uint64_t *regs;   /* QEMU's register file of the virtual CPU */
	uint32_t epoch;         /* sim.epoch that this thread has acted on */
	bool recording;         /* its stream is open */
	bool on;                /* TraceEn and user mode: packets are made */
	bool overflow;          /* lossy: data was dropped, OVF is due */
	bool lost;              /* the next AUX message says so */
	bool fresh;             /* it has run nothing yet that is not recorded */
	uint32_t stack_epoch;   /* sim.epoch for which its stack was sent */
	uint64_t insns;         /* instructions retired; with the insn clock, the time, ns */
	uint64_t tnt_time;      /* of the latest TNT bit, insn clock */
	uint64_t psb_at;        /* stream offset at which the next PSB is due */
	uint64_t flush_at;      /* encoder.n at which the buffer is sent */
	uint64_t offset;        /* stream bytes sent */
	uint64_t waited_from_ns, waited_to_ns; /* for the client; told with the next AUX message */
	struct sim_clock clock;
	struct ptf_pt_encoder encoder;
	uint8_t *buffer; /* mmapped, buffer_size bytes */
	size_t buffer_size;
	struct sim_log *log;    /* debug: true block sequence, or NULL */
	_Atomic int gate;       /* enum sim_gate */
	_Atomic bool acked;     /* the client has answered THREAD */
	int32_t pid, tid, ptid; /* as told to the client */
	int32_t real_pid, real_tid;
	char comm[SIM_COMM_SIZE];
	uint64_t call_args[6]; /* of the system call that it is in */
	int64_t call_num;
	int32_t child_id;        /* of the process that it is about to make */
	int comm_of;             /* thread whose comm file it opens: 0 none */
	struct sim_thread *next; /* list of all threads */
};

struct sim {
	/* options */
	enum ptf_sim_clock clock;
	double dilation;
	uint64_t clock_start; /* insn clock, ns */
	bool lossy;           /* whatever the client asks for */
	bool calibrate;       /* record into nothing, for ptflame-sim-loop */
	int wait_ms; /* 0, milliseconds, or SIM_WAIT_FOREVER for a START before the first block */
	const char *log_dir;      /* debug */
	const char *plugin_path;  /* to enter again after execve */
	const char *exe_path;     /* the guest's program */
	char comm[SIM_COMM_SIZE]; /* its name */
	/* what runs */
	_Atomic uint32_t epoch; /* counts START and STOP */
	_Atomic bool recording;
	struct ptf_sim_start start; /* of the recording */
	uint64_t start_ns;          /* of the recording, as told to the client */
	pthread_mutex_t threads_lock;
	struct sim_thread *threads;
	int32_t pid, ppid, real_pid;
	bool started;         /* the first block was seen */
	_Atomic bool ready;   /* and its thread is known */
	_Atomic bool waiting; /* for START */
	_Atomic uint64_t aux_bytes, lost_bytes;
	_Atomic uint64_t desyncs;   /* flow that could not be explained: 0, or a bug */
	_Atomic int32_t *next_id;   /* shared with forked children */
	uint64_t ns_per_tick;       /* ns of a time stamp counter tick << SIM_TICK_SHIFT */
	uint64_t clock_renew_ticks; /* age of a clock's anchor at which it is renewed */
};

extern struct sim sim;

/* Nobody records, no thread has a stream to end, and blocks need not be counted: they return at
 * once. Threads are then known by their first system call. */
extern bool sim_quiet;

/* sim_block.c */
struct qemu_plugin_tb;
struct sim_block *sim_block_of(const struct qemu_plugin_tb *tb);
/* Marks known blocks at pc as signal handler entries, and later ones too. */
void sim_block_mark_handler(uint64_t pc);
/* Instructions of block that lie before address ip; -1 when ip does not begin one. */
int sim_block_insns_before(const struct sim_block *block, uint64_t ip);

/* sim_flow.c */
void sim_flow_block(unsigned vcpu, struct sim_block *block, const uint64_t *regs);
/* The thread enters a system call: its trace goes off. */
void sim_flow_syscall(struct sim_thread *thread);
/* Ends the stream of a thread (owned through its gate) that is in a system call or at its end. */
void sim_flow_finish(struct sim_thread *thread);
/* The same for a thread that stopped at ip, after its block or (fault) perhaps in the middle. */
void sim_flow_finish_at(struct sim_thread *thread, uint64_t ip, bool fault);

/* sim_signal.c */
struct sim_interrupt {
	uint64_t ip; /* interrupted instruction: the flow goes on there after the handler */
	bool fault;  /* raised by that instruction itself */
};
bool sim_signal_is_fault(int signo);
/* The address at which QEMU would go on. */
uint64_t sim_signal_next_ip(const uint64_t *regs);
void sim_signal_action(int signo, uint64_t handler, uint64_t restorer);
bool sim_signal_known(uint64_t pc);
/* Is this thread, whose next block is block, at the entry of a handler that a signal made it run?
 */
bool sim_signal_entered(
        const uint64_t *regs, const struct sim_block *block, struct sim_interrupt *out);

/* sim_stack.c */
/* QEMU's register file of the calling thread's virtual CPU; NULL before its first block. */
extern __thread const uint64_t *sim_regs __attribute__((tls_model("initial-exec")));
/* Sends the stack of a thread that has run before the recording began, once. The thread (or who has
 * its gate) calls it, where its registers are in memory: at the start of a block, in a system call.
 * ip: where it goes on. */
void sim_stack_send(struct sim_thread *thread, uint64_t ip);
/* Of all threads that are in a system call; with threads_lock. */
void sim_stack_send_waiting(void);

/* sim_thread.c */
extern __thread struct sim_thread *sim_self __attribute__((tls_model("initial-exec")));
/* The calling thread's state, NULL before its first block. */
static inline struct sim_thread *sim_thread_self(void)
{
	return sim_self;
}
/* Makes the calling thread's state; on virtual CPU vcpu. */
struct sim_thread *sim_thread_enter(unsigned vcpu);
void sim_thread_exit(struct sim_thread *thread);
/* In a forked child: only the caller is left. */
void sim_thread_forked(struct sim_thread *thread, int32_t pid);
/* A new virtual CPU is made by the calling thread. */
void sim_thread_birth(unsigned vcpu);
int32_t sim_thread_new_id(void);
void sim_thread_set_comm(struct sim_thread *thread, const char *comm);
/* Sideband time, ns: of the thread's clock, or (NULL) of the process. */
uint64_t sim_thread_time(struct sim_thread *thread);
/* The guest program's path and name. */
void sim_process_name(void);
/* Makes the buffer, as large as the client wants it. */
bool sim_thread_buffer(struct sim_thread *thread);
/* Sends the buffer, or drops it (lossy; not the last, which tells of losses before it). The
 * encoder's buffer is empty afterwards. */
void sim_thread_flush(struct sim_thread *thread, bool last);
void sim_thread_task(const struct sim_thread *thread, uint64_t time, struct ptf_sim_task *task);
void sim_clock_calibrate(void);
uint64_t sim_clock_monotonic(void);

/* sim_log.c: the debug log of executed blocks. All but sim_log_block do nothing without one. */
void sim_log_open(struct sim_thread *thread);
void sim_log_block(struct sim_thread *thread, uint64_t pc, uint64_t insns);
void sim_log_flush(struct sim_thread *thread);
void sim_log_close(struct sim_thread *thread); /* drops what was not flushed */

/* sim_syscall.c */
void sim_syscall_enter(struct sim_thread *thread, int64_t num, const uint64_t *args);
void sim_syscall_return(struct sim_thread *thread, int64_t num, int64_t ret);
/* Copies guest memory; bytes copied, less than size where it ends, 0 when unreadable. */
size_t sim_guest_read(uint64_t addr, void *out, size_t size);
/* A guest string (a path; an argument), heap, or NULL. */
char *sim_guest_string(uint64_t addr);
char *sim_guest_long_string(uint64_t addr);

/* sim_maps.c */
void sim_maps_snapshot(void); /* before the guest is loaded */
void sim_maps_init(void);     /* once the guest is loaded */
void sim_maps_map(struct sim_thread *thread, uint64_t addr, uint64_t len, int prot, int flags,
        int fd, uint64_t offset);
void sim_maps_unmap(uint64_t addr, uint64_t len);
void sim_maps_protect(struct sim_thread *thread, uint64_t addr, uint64_t len, int prot);
void sim_maps_move(
        struct sim_thread *thread, uint64_t old, uint64_t old_len, uint64_t addr, uint64_t len);
void sim_maps_lock(void);
void sim_maps_unlock(void);
/* Sends an MMAP for every executable mapping; locked. */
void sim_maps_send_all(void);

/* sim_death.c */
/* Makes known to us when QEMU lets the process die of a signal. False: then it will not be. */
bool sim_death_watch(void);

/* sim_exec.c */
/* Replaces the process by the simulator running the program, when it can; returns otherwise, with
 * the call to go on natively. */
void sim_exec(struct sim_thread *thread, uint64_t path, uint64_t argv, uint64_t envp);

/* sim_server.c */
bool sim_server_start(void);
void sim_server_stop(void);
/* In a forked child, which has none of the helpers; call sim_server_start next. */
void sim_server_forked(void);
void sim_server_wait(int milliseconds);
/* No recording is under way, and all threads have ended their streams. */
void sim_server_settled(void);
/* Sends fixed then tail (may be NULL); blocking; nothing when there is no client. */
void sim_server_send(enum ptf_sim_message type, const void *fixed, size_t fixed_size,
        const void *tail, size_t tail_size);
/* Lossy: the same, or false when the message would have had to wait for the client. */
bool sim_server_try_send(enum ptf_sim_message type, const void *fixed, size_t fixed_size,
        const void *tail, size_t tail_size);
/* Ends the recording from a thread of the guest (exit_group, execve, death); waits for the others.
 */
void sim_server_end(struct sim_thread *thread);

#endif
