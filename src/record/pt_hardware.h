/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this machine and this user can record with hardware PT, as sysfs and procfs say.
 */
#ifndef PTF_PT_HARDWARE_H
#define PTF_PT_HARDWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptflame/error.h>

struct ptf_pt_hardware {
	bool present;             /* the kernel has an intel_pt PMU */
	bool cyc;                 /* caps/psb_cyc: cycle-accurate packets */
	bool mtc;                 /* caps/mtc: mini time counter packets */
	unsigned address_filters; /* nr_addr_filters, 0: none */
	bool virtual_machine;     /* the CPU flags say "hypervisor" */
	char vendor[16];          /* of the CPU, "GenuineIntel" */
	char model[64];           /* its name, "" unknown */
	unsigned cpus;            /* online */
	int paranoid;             /* kernel.perf_event_paranoid, 2 when there is no such file */
	uint64_t mlock_bytes;     /* kernel.perf_event_mlock_kb, for each CPU */
	bool perfmon;             /* we have CAP_PERFMON or CAP_SYS_ADMIN */
	bool ipc_lock;            /* we have CAP_IPC_LOCK */
};

/* root is put before every file name ("" for the real ones; tests have their own). */
void ptf_pt_hardware_probe(struct ptf_pt_hardware *hardware, const char *root);

/* CPUs in a list as the kernel and perf write it: 5 in "0-3,6"; 0: it is no list. */
unsigned ptf_pt_hardware_count_cpus(const char *list);

/* Why there is no Intel PT here and what can be done; text is a buffer of `size` bytes. */
void ptf_pt_hardware_explain(const struct ptf_pt_hardware *hardware, char *text, size_t size);

#endif
