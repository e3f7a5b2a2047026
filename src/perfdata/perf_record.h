/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records of a perf.data file as plain structs.
 *
 * Layouts: include/uapi/linux/perf_event.h (types below 64), tools/lib/perf/include/perf/event.h
 * (from 64 on). Strings and byte ranges are borrowed from the reader and valid until its next
 * `next` call unless said otherwise; strings are always terminated.
 */
#ifndef PTF_PERF_RECORD_H
#define PTF_PERF_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ptf_record_type {
	PTF_RECORD_MMAP = 1,
	PTF_RECORD_LOST = 2,
	PTF_RECORD_COMM = 3,
	PTF_RECORD_EXIT = 4,
	PTF_RECORD_THROTTLE = 5,
	PTF_RECORD_UNTHROTTLE = 6,
	PTF_RECORD_FORK = 7,
	PTF_RECORD_SAMPLE = 9,
	PTF_RECORD_MMAP2 = 10,
	PTF_RECORD_AUX = 11,
	PTF_RECORD_ITRACE_START = 12,
	PTF_RECORD_LOST_SAMPLES = 13,
	PTF_RECORD_SWITCH = 14,
	PTF_RECORD_SWITCH_CPU_WIDE = 15,
	PTF_RECORD_NAMESPACES = 16,
	PTF_RECORD_KSYMBOL = 17,
	PTF_RECORD_BPF_EVENT = 18,
	PTF_RECORD_CGROUP = 19,
	PTF_RECORD_TEXT_POKE = 20,
	PTF_RECORD_AUX_OUTPUT_HW_ID = 21,
	PTF_RECORD_HEADER_ATTR = 64,
	PTF_RECORD_HEADER_TRACING_DATA = 66,
	PTF_RECORD_HEADER_BUILD_ID = 67,
	PTF_RECORD_FINISHED_ROUND = 68,
	PTF_RECORD_ID_INDEX = 69,
	PTF_RECORD_AUXTRACE_INFO = 70,
	PTF_RECORD_AUXTRACE = 71,
	PTF_RECORD_AUXTRACE_ERROR = 72,
	PTF_RECORD_THREAD_MAP = 73,
	PTF_RECORD_CPU_MAP = 74,
	PTF_RECORD_EVENT_UPDATE = 78,
	PTF_RECORD_TIME_CONV = 79,
	PTF_RECORD_HEADER_FEATURE = 80,
	PTF_RECORD_COMPRESSED = 81,
	PTF_RECORD_FINISHED_INIT = 82,
	PTF_RECORD_COMPRESSED2 = 83,
};

/* misc bits (perf_event.h) */
#define PTF_MISC_CPUMODE_MASK                                                                      \
	7u /* 1 kernel, 2 user, 3 hypervisor, 4 guest kernel, 5 guest user                         \
	    */
#define PTF_MISC_COMM_EXEC (1u << 13)  /* COMM: from execve */
#define PTF_MISC_SWITCH_OUT (1u << 13) /* SWITCH*: switched out, else in */
#define PTF_MISC_SWITCH_OUT_PREEMPT (1u << 14)
#define PTF_MISC_MMAP_BUILD_ID (1u << 14) /* MMAP2: build-id in place of maj/min/ino */

/* PERF_RECORD_AUX flags */
#define PTF_AUX_FLAG_TRUNCATED 1u
#define PTF_AUX_FLAG_OVERWRITE 2u
#define PTF_AUX_FLAG_PARTIAL 4u
#define PTF_AUX_FLAG_COLLISION 8u

/* Who, when and where, from sample_id or the sample itself; fields without a bit are 0 / -1. */
struct ptf_sample_id {
	uint64_t time_ns; /* perf clock of the file; valid when has_time */
	uint64_t id;      /* event id, 0 when unknown */
	int32_t pid;      /* -1 when unknown */
	int32_t tid;      /* -1 when unknown */
	int32_t cpu;      /* -1 when unknown */
	bool has_time;
};

struct ptf_record_mmap {       /* MMAP, MMAP2 */
	int32_t pid, tid;      /* pid -1: kernel */
	uint64_t addr;         /* first mapped virtual address */
	uint64_t len;          /* bytes */
	uint64_t pgoff;        /* file offset of addr, bytes */
	uint32_t maj, min;     /* device, when has_inode */
	uint64_t ino, ino_gen; /* inode, when has_inode */
	uint32_t prot, flags;  /* mmap(2) bits, MMAP2 only; MMAP of code: PROT_EXEC */
	uint8_t build_id[20];  /* when build_id_size > 0 */
	uint8_t build_id_size; /* bytes, 0: none */
	bool has_inode;
	const char *filename;
};

struct ptf_record_comm {
	int32_t pid, tid;
	const char *comm;
};

struct ptf_record_task { /* FORK, EXIT */
	int32_t pid, ppid, tid, ptid;
	uint64_t time_ns;
};

struct ptf_record_lost { /* LOST (id, count), LOST_SAMPLES (count) */
	uint64_t id, count;
};

struct ptf_record_aux {
	uint64_t aux_offset; /* bytes from the start of the AUX stream */
	uint64_t aux_size;   /* bytes */
	uint64_t flags;      /* PTF_AUX_FLAG_* */
};

struct ptf_record_itrace_start {
	int32_t pid, tid;
};

struct ptf_record_switch { /* SWITCH: next_prev_* are -1 */
	int32_t next_prev_pid, next_prev_tid;
	bool out;     /* the thread of the sample_id left the CPU */
	bool preempt; /* ... and was still runnable (Linux 4.17) */
};

struct ptf_perf_attr; /* perf_reader.h */

struct ptf_record_sample {
	const struct ptf_perf_attr *attr; /* its event, owned by the reader; NULL: not known */
	uint64_t ip, addr, period;        /* 0 when not sampled */
	const uint8_t *callchain;         /* callchain_n little-endian u64, or NULL */
	uint64_t callchain_n;             /* entries, context markers included */
	const uint8_t *raw;               /* tracepoint data, raw_size bytes, or NULL */
	uint32_t raw_size;                /* bytes */
};

struct ptf_record_ksymbol {
	uint64_t addr;
	uint32_t len;       /* bytes */
	uint16_t ksym_type; /* 1 BPF, 2 out of line code */
	uint16_t flags;     /* bit 0: unregistered */
	const char *name;
};

struct ptf_record_text_poke {
	uint64_t addr;
	uint16_t old_len, new_len; /* bytes */
	const uint8_t *bytes;      /* old_len old bytes, then new_len new ones */
};

struct ptf_record_namespaces {
	int32_t pid, tid;
	uint64_t count; /* namespaces in the record */
};

/* Fields of an Intel PT AUXTRACE_INFO (tools/perf/util/intel-pt.h), absent ones 0. */
struct ptf_record_auxtrace_info {
	uint32_t type;     /* 1: Intel PT; other values: the rest is 0 */
	uint64_t pmu_type; /* attr.type of the PT event */
	uint64_t time_shift, time_mult, time_zero;
	bool cap_user_time_zero; /* the three above are usable */
	uint64_t tsc_bit;        /* config masks of the PT event */
	uint64_t noretcomp_bit;
	uint64_t have_sched_switch; /* 0 none, 1 tracepoint, 2 SWITCH records, 3 tracked ones */
	uint64_t snapshot_mode;
	uint64_t per_cpu_mmaps; /* 1: one AUX stream per CPU, 0: per thread */
	uint64_t mtc_bit, mtc_freq_bits;
	uint64_t tsc_ctc_ratio_n, tsc_ctc_ratio_d;
	uint64_t cyc_bit;
	uint64_t max_nonturbo_ratio;
	const char *filter; /* address filter or NULL */
};

struct ptf_record_time_conv {
	uint64_t time_shift, time_mult, time_zero;
	uint64_t time_cycles, time_mask; /* 0 when the record is the short form */
	bool cap_user_time_zero, cap_user_time_short;
};

/* A piece of an AUX stream. `bytes` stays valid until the reader is destroyed. */
struct ptf_aux_chunk {
	const uint8_t *bytes; /* size bytes */
	uint64_t size;        /* bytes */
	uint64_t aux_offset;  /* offset of bytes[0] in its stream */
	uint64_t reference;   /* the file's reference number of the chunk */
	uint64_t file_offset; /* of bytes[0] in the file or stream it came from */
	uint32_t idx;         /* number of the stream */
	int32_t tid;          /* per-thread streams, else -1 */
	int32_t cpu;          /* per-CPU streams, else -1 */
};

struct ptf_record_map { /* THREAD_MAP, CPU_MAP */
	uint64_t count; /* entries */
};

struct ptf_record {
	uint32_t type;        /* enum ptf_record_type, or a number that we do not know */
	uint16_t misc;        /* PTF_MISC_* */
	uint64_t file_offset; /* of the record's header; for a compressed one, of its container */
	struct ptf_sample_id sid;
	union {
		struct ptf_record_mmap mmap;
		struct ptf_record_comm comm;
		struct ptf_record_task task;
		struct ptf_record_lost lost;
		struct ptf_record_aux aux;
		struct ptf_record_itrace_start itrace_start;
		struct ptf_record_switch sw;
		struct ptf_record_sample sample;
		struct ptf_record_ksymbol ksymbol;
		struct ptf_record_text_poke text_poke;
		struct ptf_record_namespaces namespaces;
		struct ptf_record_auxtrace_info auxtrace_info;
		struct ptf_record_time_conv time_conv;
		struct ptf_aux_chunk auxtrace;
		struct ptf_record_map map;
	};
};

#endif
