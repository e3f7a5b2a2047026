/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/pt_hardware.h"

#define PMU "/sys/bus/event_source/devices/intel_pt"
/* include/uapi/linux/capability.h */
#define CAP_IPC_LOCK_BIT 14
#define CAP_SYS_ADMIN_BIT 21
#define CAP_PERFMON_BIT 38

static FILE *open_below(const char *root, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s", root, name);
	return fopen(path, "re");
}

static bool read_line(const char *root, const char *name, char *line, int size)
{
	FILE *file = open_below(root, name);
	bool ok = file && fgets(line, size, file);

	if (file)
		fclose(file);
	return ok;
}

static long read_number(const char *root, const char *name, long otherwise)
{
	char line[64], *end;
	long value;

	if (!read_line(root, name, line, sizeof(line)))
		return otherwise;
	value = strtol(line, &end, 10);
	return end == line ? otherwise : value;
}

unsigned ptf_pt_hardware_count_cpus(const char *list)
{
	unsigned count = 0, first, last;
	int used;

	while (sscanf(list, "%u%n", &first, &used) == 1) {
		list += used;
		last = first;
		if (sscanf(list, "-%u%n", &last, &used) == 1)
			list += used;
		count += last >= first ? last - first + 1 : 0;
		if (*list++ != ',')
			break;
	}
	return count;
}

static void read_cpus(struct ptf_pt_hardware *hardware, const char *root)
{
	char line[256];

	if (read_line(root, "/sys/devices/system/cpu/online", line, sizeof(line)))
		hardware->cpus = ptf_pt_hardware_count_cpus(line);
	if (!hardware->cpus)
		hardware->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

/* The text behind "name<tabs>: " of a line of cpuinfo, without its newline; NULL: another line. */
static const char *field(char *line, const char *name)
{
	char *colon = strchr(line, ':');

	if (!colon || strncmp(line, name, strlen(name)))
		return NULL;
	colon[strcspn(colon, "\n")] = '\0';
	return colon[1] == ' ' ? colon + 2 : colon + 1;
}

static void read_cpuinfo(struct ptf_pt_hardware *hardware, const char *root)
{
	FILE *file = open_below(root, "/proc/cpuinfo");
	char line[8192];
	const char *text;

	if (!file)
		return;
	/* All CPUs say the same: the first paragraph is enough. */
	while (fgets(line, sizeof(line), file) && *line != '\n') {
		if ((text = field(line, "vendor_id")))
			snprintf(hardware->vendor, sizeof(hardware->vendor), "%s", text);
		else if ((text = field(line, "model name")))
			snprintf(hardware->model, sizeof(hardware->model), "%s", text);
		else if ((text = field(line, "flags")))
			hardware->virtual_machine = strstr(text, " hypervisor") != NULL;
	}
	fclose(file);
}

static void read_capabilities(struct ptf_pt_hardware *hardware, const char *root)
{
	FILE *file = open_below(root, "/proc/self/status");
	unsigned long long caps = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "CapEff: %llx", &caps);
	if (file)
		fclose(file);
	hardware->perfmon = caps >> CAP_PERFMON_BIT & 1 || caps >> CAP_SYS_ADMIN_BIT & 1;
	hardware->ipc_lock = caps >> CAP_IPC_LOCK_BIT & 1;
}

void ptf_pt_hardware_probe(struct ptf_pt_hardware *hardware, const char *root)
{
	*hardware = (struct ptf_pt_hardware){0};
	hardware->present = read_number(root, PMU "/type", -1) >= 0;
	hardware->cyc = read_number(root, PMU "/caps/psb_cyc", 0) == 1;
	hardware->mtc = read_number(root, PMU "/caps/mtc", 0) == 1;
	hardware->address_filters = (unsigned)read_number(root, PMU "/nr_addr_filters", 0);
	hardware->paranoid = (int)read_number(root, "/proc/sys/kernel/perf_event_paranoid", 2);
	hardware->mlock_bytes =
	        1024 * (uint64_t)read_number(root, "/proc/sys/kernel/perf_event_mlock_kb", 516);
	read_cpus(hardware, root);
	read_cpuinfo(hardware, root);
	read_capabilities(hardware, root);
}

void ptf_pt_hardware_explain(const struct ptf_pt_hardware *hardware, char *text, size_t size)
{
	const char *model = *hardware->model ? hardware->model : "unknown CPU";

	if (strcmp(hardware->vendor, "GenuineIntel"))
		snprintf(text, size,
		        "this machine has no Intel PT (%s): run the program with `ptflame sim -- "
		        "CMD`",
		        model);
	else if (hardware->virtual_machine)
		snprintf(text, size,
		        "this virtual machine does not pass Intel PT on (%s): on a KVM host load "
		        "kvm_intel with pt_mode=1, or run the program with `ptflame sim -- CMD`",
		        model);
	else
		snprintf(text, size,
		        "the kernel shows no intel_pt PMU (%s): PT is off in the firmware, in the "
		        "kernel (CONFIG_PERF_EVENTS_INTEL_PT) or not in this CPU; "
		        "or run the program with `ptflame sim -- CMD`",
		        model);
}
