/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "record/perf_command.h"

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
/* For each buffer. perf's own default of 4 MB overflows within 20 ms of busy code. */
#define AUX_DEFAULT_BYTES (16 * MB)
#define AUX_MIN_BYTES (64 * KB)
/* Sideband ring of each buffer when locked memory is scarce; perf's default takes all of it. */
#define DATA_BYTES (256 * KB)

/* --- building an argument vector --- */

static void add(struct ptf_perf_command *command, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

static void add(struct ptf_perf_command *command, const char *fmt, ...)
{
	char **bigger = realloc(command->argv, (command->argc + 2) * sizeof(*bigger));
	char *text = NULL;
	va_list ap;
	int n;

	if (bigger)
		command->argv = bigger;
	va_start(ap, fmt);
	n = bigger ? vasprintf(&text, fmt, ap) : -1;
	va_end(ap);
	if (n < 0) {
		command->out_of_memory = true;
		return;
	}
	command->argv[command->argc++] = text;
	command->argv[command->argc] = NULL;
}

void ptf_perf_command_release(struct ptf_perf_command *command)
{
	for (size_t i = 0; i < command->argc; i++)
		free(command->argv[i]);
	free(command->argv);
	*command = (struct ptf_perf_command){0};
}

static bool plain(const char *text)
{
	return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "0123456789_-+=./,:@%") == strlen(text);
}

static void quote(FILE *out, const char *text)
{
	if (plain(text)) {
		fputs(text, out);
		return;
	}
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
	fputc('\'', out);
}

char *ptf_perf_command_text(const struct ptf_perf_command *command)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (command->interrupt_s > 0)
		fprintf(out, "timeout -s INT %g ", command->interrupt_s);
	for (size_t i = 0; i < command->argc; i++) {
		if (i)
			fputc(' ', out);
		quote(out, command->argv[i]);
	}
	fclose(out);
	return text;
}

/* --- checks --- */

/* The path of perf, which the caller frees, or NULL. */
static char *find_perf(void)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : "/usr/bin:/bin"), *state = NULL, *found = NULL;

	for (char *dir = copy ? strtok_r(copy, ":", &state) : NULL; dir && !found;
	        dir = strtok_r(NULL, ":", &state)) {
		if (asprintf(&found, "%s/perf", dir) < 0)
			found = NULL;
		if (found && access(found, X_OK) < 0) {
			free(found);
			found = NULL;
		}
	}
	free(copy);
	return found;
}

/* Somebody gave the perf program rights of its own (setcap): ours do not matter. */
static bool has_file_capabilities(const char *path)
{
	return getxattr(path, "security.capability", NULL, 0) > 0;
}

/* kernel/events/core.c: perf_allow_cpu, perf_allow_kernel; above 2 is a patch of distributions. */
static int check_paranoid(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	bool cpus = options->all_cpus || options->cpus;
	int need = cpus ? 0 : options->kernel ? 1 : 2;
	const char *what = cpus              ? "recording whole CPUs (-a, -C)"
	                   : options->kernel ? "recording the kernel (--kernel)"
	                                     : "recording";

	if (hardware->perfmon || hardware->paranoid <= need)
		return 0;
	return ptf_error_set(err, PTF_EPERM,
	        "kernel.perf_event_paranoid is %d, %s needs at most %d: run "
	        "`sudo sysctl kernel.perf_event_paranoid=%d`, or ptflame as root",
	        hardware->paranoid, what, need, need);
}

/* kernel/events/core.c: perf_allow_tracepoint. */
static int check_tracepoints(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	if (!options->sched || hardware->perfmon || hardware->paranoid <= -1)
		return 0;
	return ptf_error_set(err, PTF_EPERM,
	        "kernel.perf_event_paranoid is %d, recording wakeups (--sched) needs -1: run "
	        "`sudo sysctl kernel.perf_event_paranoid=-1`, or ptflame as root, or leave --sched "
	        "out",
	        hardware->paranoid);
}

static int check_filter(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	if (!options->filter || hardware->address_filters)
		return 0;
	return ptf_error_set(err, PTF_EUNSUPPORTED,
	        "this CPU has no address filters for Intel PT: record without --filter and use "
	        "`ptflame report --under FUNC`");
}

static enum ptf_record_timing usable_timing(
        enum ptf_record_timing timing, const struct ptf_pt_hardware *hardware)
{
	if (timing == PTF_TIMING_CYC && !hardware->cyc) {
		ptf_log(PTF_LOG_WARN, "this CPU has no cycle-accurate packets "
		                      "(caps/psb_cyc): --timing mtc is used");
		timing = PTF_TIMING_MTC;
	}
	if (timing == PTF_TIMING_MTC && !hardware->mtc) {
		ptf_log(PTF_LOG_WARN, "this CPU has no MTC packets (caps/mtc): --timing tsc is "
		                      "used, times are coarse");
		timing = PTF_TIMING_TSC;
	}
	return timing;
}

/* --- buffers and locked memory --- */

static uint64_t power_of_two_up(uint64_t x)
{
	uint64_t power = 4 * KB;

	while (power < x)
		power *= 2;
	return power;
}

static uint64_t power_of_two_down(uint64_t x)
{
	uint64_t power = power_of_two_up(x);

	return power > x ? power / 2 : power;
}

static unsigned count_buffers(
        const struct ptf_record_options *options, const struct ptf_pt_hardware *hardware)
{
	unsigned named;

	if (options->tid)
		return 1;
	if (!options->cpus)
		return hardware->cpus;
	named = ptf_pt_hardware_count_cpus(options->cpus);
	return named ? named : 1;
}

/* Bytes that we may lock for perf buffers in all; UINT64_MAX: no limit. */
static uint64_t locked_memory(const struct ptf_pt_hardware *hardware)
{
	struct rlimit limit;

	if (hardware->ipc_lock || hardware->paranoid < 0)
		return UINT64_MAX;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		limit.rlim_cur = 0;
	if (limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return hardware->mlock_bytes * hardware->cpus + limit.rlim_cur;
}

/* What perf_event_mlock_kb must be, for each CPU, so that buffers of aux bytes fit. */
static uint64_t mlock_kb_needed(
        uint64_t aux, unsigned buffers, const struct ptf_pt_hardware *hardware)
{
	uint64_t bytes = (aux + DATA_BYTES + 4 * KB) * buffers;

	return (bytes / hardware->cpus + KB - 1) / KB;
}

static int too_large(uint64_t aux, uint64_t fits, unsigned buffers,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	char instead[48] = "";

	if (fits >= AUX_MIN_BYTES)
		snprintf(instead, sizeof(instead), ", or use -m %" PRIu64 "K", fits / KB);
	return ptf_error_set(err, PTF_EPERM,
	        "%u buffers of %" PRIu64 "K are more than may be locked in memory: run "
	        "`sudo sysctl kernel.perf_event_mlock_kb=%" PRIu64
	        "` or raise `ulimit -l`, or run ptflame as root%s",
	        buffers, aux / KB, mlock_kb_needed(aux, buffers, hardware), instead);
}

/* Chooses the bytes of each AUX buffer. *tight: the data buffers must be small as well. */
static int choose_buffers(const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, uint64_t *aux, bool *tight, struct ptf_error *err)
{
	unsigned buffers = count_buffers(options, hardware);
	uint64_t limit = locked_memory(hardware), each = limit / buffers, fits;

	*aux = power_of_two_up(options->buffer_size ? options->buffer_size : AUX_DEFAULT_BYTES);
	*tight = limit != UINT64_MAX;
	if (!*tight)
		return 0;
	fits = each > DATA_BYTES + 8 * KB ? power_of_two_down(each - DATA_BYTES - 4 * KB) : 0;
	if (*aux <= fits)
		return 0;
	if (options->buffer_size || fits < AUX_MIN_BYTES)
		return too_large(*aux, fits, buffers, hardware, err);
	ptf_log(PTF_LOG_WARN,
	        "buffers are %" PRIu64 "K instead of %" PRIu64
	        "K for lack of locked memory, data may be "
	        "lost: run `sudo sysctl kernel.perf_event_mlock_kb=%" PRIu64
	        "` or raise `ulimit -l`",
	        fits / KB, *aux / KB, mlock_kb_needed(*aux, buffers, hardware));
	*aux = fits;
	return 0;
}

static void add_size(struct ptf_perf_command *command, const char *before, uint64_t bytes)
{
	if (bytes % MB == 0)
		add(command, "%s%" PRIu64 "M", before, bytes / MB);
	else if (bytes % KB == 0)
		add(command, "%s%" PRIu64 "K", before, bytes / KB);
	else
		add(command, "%s%" PRIu64 "B", before, bytes);
}

/* --- the options --- */

static int add_buffers(struct ptf_perf_command *command, const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	bool tight = false;
	uint64_t aux = 0;
	int rc = choose_buffers(options, hardware, &aux, &tight, err);

	if (rc == 0)
		add_size(command, tight ? "-m256K," : "-m,", aux);
	return rc;
}

/* IA32_RTIT_CTL.PSBFreq: a PSB every 2^(11+n) bytes (SDM volume 3, "Trace Control"). */
static unsigned psb_exponent(uint64_t bytes)
{
	unsigned n = 0;

	while (n < 15 && UINT64_C(2048) << n < bytes)
		n++;
	return n;
}

static void add_event(struct ptf_perf_command *command, const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware)
{
	enum ptf_record_timing timing = usable_timing(options->timing, hardware);
	bool mtc = timing != PTF_TIMING_TSC && hardware->mtc;
	char psb[32] = "";

	add(command, "-e");
	if (options->psb_period)
		snprintf(psb, sizeof(psb), ",psb_period=%u", psb_exponent(options->psb_period));
	add(command, "intel_pt/cyc=%d,mtc=%d,tsc=1%s/%s", timing == PTF_TIMING_CYC, mtc, psb,
	        options->kernel ? "" : "u");
	if (options->filter) {
		add(command, "--filter");
		add(command, "%s", options->filter);
	}
	if (options->sched) {
		add(command, "-e");
		add(command, "sched:sched_waking");
	}
}

static void add_modes(struct ptf_perf_command *command, const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware)
{
	if (options->kernel && hardware->perfmon)
		add(command, "--kcore");
	else if (options->kernel)
		ptf_log(PTF_LOG_WARN, "only root can copy the kernel's code (--kcore): kernel "
		                      "functions will be decoded from a vmlinux if there is one");
	/* e: take the snapshot when the recording ends. */
	if (options->snapshot)
		add(command, "--snapshot=e");
	if (options->max_size)
		add_size(command, "--max-size=", options->max_size);
}

/* perf takes one -p with a list; of several it would use the last. */
static void add_pids(struct ptf_perf_command *command, const struct ptf_record_options *options)
{
	char *list = NULL;
	size_t size;
	FILE *out = open_memstream(&list, &size);

	for (size_t i = 0; out && i < options->n_pids; i++)
		fprintf(out, "%s%d", i ? "," : "", (int)options->pids[i]);
	if (!out || fclose(out)) {
		command->out_of_memory = true;
		return;
	}
	add(command, "-p");
	add(command, "%s", list);
	free(list);
}

static void add_target(struct ptf_perf_command *command, const struct ptf_record_options *options)
{
	if (options->n_pids)
		add_pids(command, options);
	if (options->tid) {
		add(command, "--per-thread");
		add(command, "-t");
		add(command, "%d", (int)options->tid);
	}
	if (options->all_cpus)
		add(command, "-a");
	if (options->cpus) {
		add(command, "-C");
		add(command, "%s", options->cpus);
	}
}

/* A command, or `sleep` as a clock: perf starts it when all events are on, which also tells when to
 * copy stacks (attach_stacks.h). */
static void add_command(struct ptf_perf_command *command, const struct ptf_record_options *options)
{
	bool attaches = options->n_pids || options->tid;

	if (!options->command && options->duration_s <= 0 && !attaches)
		return;
	add(command, "--");
	if (!options->command) {
		add(command, "sleep");
		if (options->duration_s > 0)
			add(command, "%.15g", options->duration_s);
		else
			add(command, "infinity");
		return;
	}
	command->interrupt_s = options->duration_s;
	for (const char *const *arg = options->command; *arg; arg++)
		add(command, "%s", *arg);
}

static int build(struct ptf_perf_command *command, const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	int rc;

	add(command, "perf");
	add(command, "record");
	add(command, "-o");
	add(command, "%s", options->output);
	/* -N: build ids are wanted in the file, copies of all programs in ~/.debug are not. */
	add(command, "-N");
	add(command, "-T");
	add(command, "--switch-events");
	rc = add_buffers(command, options, hardware, err);
	if (rc < 0)
		return rc;
	add_event(command, options, hardware);
	add_modes(command, options, hardware);
	add_target(command, options);
	add_command(command, options);
	if (command->out_of_memory)
		return ptf_error_set(err, PTF_ENOMEM, "out of memory for the command line");
	return 0;
}

static int check(const char *perf, const struct ptf_record_options *options,
        const struct ptf_pt_hardware *hardware, struct ptf_error *err)
{
	char why[320];

	if (!hardware->present) {
		ptf_pt_hardware_explain(hardware, why, sizeof(why));
		return ptf_error_set(err, PTF_EUNSUPPORTED, "%s", why);
	}
	if (!perf)
		return ptf_error_set(err, PTF_ENOENT,
		        "perf is not installed: run `sudo apt install linux-perf` "
		        "(linux-tools-common on Ubuntu, perf on other distributions)");
	if (options->lossy)
		return ptf_error_set(err, PTF_EUNSUPPORTED,
		        "--lossy is of the simulator: hardware drops data as it must");
	return check_filter(options, hardware, err);
}

int ptf_perf_command_init(struct ptf_perf_command *command,
        const struct ptf_record_options *options, const struct ptf_pt_hardware *hardware,
        struct ptf_error *err)
{
	char *perf = find_perf();
	struct ptf_pt_hardware rights = *hardware;
	int rc = check(perf, options, hardware, err);

	*command = (struct ptf_perf_command){0};
	if (perf && has_file_capabilities(perf))
		rights.perfmon = rights.ipc_lock = true;
	if (rc == 0)
		rc = check_paranoid(options, &rights, err);
	if (rc == 0)
		rc = check_tracepoints(options, &rights, err);
	if (rc == 0)
		rc = build(command, options, &rights, err);
	free(perf);
	if (rc < 0)
		ptf_perf_command_release(command);
	return rc;
}
