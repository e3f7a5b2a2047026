/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/vec.h"
#include "cli/commands.h"
#include "record/attach_jit.h"
#include "record/perf_command.h"
#include "record/proc_info.h"
#include "record/record_perf.h"
#include "record/record_sim.h"

enum option_key {
	OPT_MAX_SIZE = 256,
	OPT_BACKEND,
	OPT_PSB_PERIOD,
	OPT_KERNEL,
	OPT_SCHED,
	OPT_TIMING,
	OPT_FILTER,
	OPT_SNAPSHOT,
	OPT_DRY_RUN,
	OPT_LOSSY,
	OPT_CLOCK,
};

#define MAX_PSB_PERIOD (UINT64_C(64) << 20) /* bytes; the largest of IA32_RTIT_CTL.PSBFreq */

enum backend { BACKEND_AUTO, BACKEND_PERF, BACKEND_SIM };

struct arguments {
	struct ptf_record_options options;
	PTF_VEC(pid_t) pids;
	enum backend backend;
	bool dry_run;
};

static const struct argp_option option_list[] = {
        {NULL, 0, NULL, 0, "What to record (one of these, or a command):", 1},
        {"pid", 'p', "PID[,PID]", 0, "Running processes, with the threads they will make", 0},
        {"tid", 't', "TID", 0, "One running thread; new threads are not followed", 0},
        {"all-cpus", 'a', NULL, 0, "The whole system", 0},
        {"cpu", 'C', "CPUS", 0, "These CPUs, as in 0-3,6", 0},
        {NULL, 0, NULL, 0, "How much:", 2},
        {"output", 'o', "FILE", 0, "Write FILE (ptflame.data); what was there becomes FILE.old", 0},
        {"duration", 'd', "SECONDS", 0,
                "Stop after so long (2, 0.5, 500ms, 2m); a command that still runs is terminated",
                0},
        {"max-size", OPT_MAX_SIZE, "SIZE", 0, "Stop when the file has this size (100M, 2G)", 0},
        {"buffer", 'm', "SIZE", 0,
                "Trace buffer of each CPU (perf) or thread (sim); larger ones lose less", 0},
        {NULL, 0, NULL, 0, "How:", 3},
        {"backend", OPT_BACKEND, "auto|perf|sim", 0,
                "perf: hardware PT through perf record; sim: a process that runs under `ptflame "
                "sim`; "
                "auto: sim for a simulated process, else perf where there is Intel PT, else sim",
                0},
        {"timing", OPT_TIMING, "cyc|mtc|tsc", 0,
                "Timing packets: cyc is exact to some ns and the default, mtc exact to about 0.3 "
                "us "
                "and smaller, tsc coarse",
                0},
        {"psb-period", OPT_PSB_PERIOD, "SIZE", 0,
                "Trace bytes between places where decoding can begin (2K to 64M, a power of two; "
                "sim: any size); more of them repair losses sooner and cost bytes",
                0},
        {"kernel", OPT_KERNEL, NULL, 0, "Trace the kernel too (perf, root)", 0},
        {"sched", OPT_SCHED, NULL, 0,
                "Record wakeups: tells waiting for a CPU from blocking (perf, root)", 0},
        {"filter", OPT_FILTER, "FILTER", 0,
                "Trace these addresses only, in perf's syntax: 'filter main @ /bin/prog' (perf)",
                0},
        {"snapshot", OPT_SNAPSHOT, NULL, 0,
                "Keep only the last buffer of each CPU, until the end (perf)", 0},
        {"lossy", OPT_LOSSY, NULL, 0,
                "Drop data when the recorder is too slow, as hardware does, instead of slowing the "
                "program down (sim)",
                0},
        {"clock", OPT_CLOCK, "real|insn", 0,
                "Clock of a simulated command: real time, or one ns for each instruction, which is "
                "the "
                "same in every run (sim)",
                0},
        {"dry-run", OPT_DRY_RUN, NULL, 0, "Print what would be run, and run nothing", 0},
        {0},
};

static const char doc[] =
        "Records where a process goes, with Intel PT or its simulation.\v"
        "Ctrl-C ends a recording; the file is complete. The exit status is the command's (128+n "
        "when "
        "signal n ended it), else 0, 1 when recording failed, 2 for wrong usage.\n\n"
        "  ptflame record -p $(pidof redis-server) -d 2\n"
        "  ptflame record -o ls.data -- ls -l\n"
        "  ptflame report -i ls.data -o ls.svg";

/* --- values of options --- */

static pid_t parse_pid(struct argp_state *state, const char *text)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || *end || errno || value <= 0 || value > INT32_MAX)
		argp_error(state, "'%s' is not a process or thread id", text);
	return (pid_t)value;
}

static void parse_pids(struct argp_state *state, struct arguments *args, char *list)
{
	char *at = NULL;

	for (char *text = strtok_r(list, ",", &at); text; text = strtok_r(NULL, ",", &at)) {
		pid_t pid = parse_pid(state, text);

		if (!ptf_vec_push(&args->pids, pid))
			argp_failure(state, PTF_EXIT_FAILURE, 0, "out of memory");
	}
	if (!args->pids.n)
		argp_error(state, "-p needs a process id");
}

static double parse_duration(struct argp_state *state, const char *text)
{
	static const struct {
		const char *suffix;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"h", 3600}};
	char *end;
	double value = strtod(text, &end);

	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(*units); i++) {
		if (!strcmp(end, units[i].suffix) && isfinite(value) && value > 0 && value < 1e8)
			return value * units[i].seconds;
	}
	argp_error(state, "'%s' is not a duration: use seconds, as in 2, 0.5, 500ms or 2m", text);
	return 0;
}

static uint64_t parse_size(struct argp_state *state, const char *text)
{
	static const char suffixes[] = "BKMGT";
	char *end;
	double value = strtod(text, &end);
	const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : suffixes;
	double bytes = suffix ? ldexp(value, 10 * (int)(suffix - suffixes)) : 0;

	if (end == text || !suffix || (*end && end[1]) || !(bytes >= 1) || bytes > 1e15)
		argp_error(state, "'%s' is not a size: use 64K, 16M or 2G", text);
	return (uint64_t)bytes;
}

/* Index of text in a NULL-terminated list of names. */
static int parse_name(
        struct argp_state *state, const char *option, const char *text, const char *const *names)
{
	for (int i = 0; names[i]; i++) {
		if (!strcmp(text, names[i]))
			return i;
	}
	argp_error(state, "%s %s: the possible values are in --help", option, text);
	return 0;
}

static const char *const timing_names[] = {"cyc", "mtc", "tsc", NULL};
static const char *const clock_names[] = {"real", "insn", NULL};
static const char *const backend_names[] = {"auto", "perf", "sim", NULL};

static void check_arguments(struct argp_state *state, const struct arguments *args)
{
	const struct ptf_record_options *o = &args->options;
	int cpus = o->all_cpus + (o->cpus != NULL);
	int tasks = (args->pids.n > 0) + (o->tid > 0) + (o->command != NULL);

	if (cpus + tasks == 0)
		argp_error(state, "what is to be recorded? Give -p PID, -t TID, -a, -C CPUS or a "
		                  "command");
	if (o->command && args->pids.n + (o->tid > 0))
		argp_error(state, "either -p or -t, or a command: both cannot be recorded at once");
	if (cpus > 1 || tasks > 1 || (cpus && tasks && !o->command))
		argp_error(state, "only one of -p, -t, -a and -C can be given");
	if (o->output && !*o->output)
		argp_error(state, "-o needs a file name");
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *args = state->input;
	struct ptf_record_options *o = &args->options;

	switch (key) {
	case 'p':
		parse_pids(state, args, value);
		return 0;
	case 't':
		o->tid = parse_pid(state, value);
		return 0;
	case 'a':
		o->all_cpus = true;
		return 0;
	case 'C':
		o->cpus = value;
		if (!*value || strspn(value, "0123456789-,") != strlen(value))
			argp_error(state, "'%s' is not a list of CPUs as in 0-3,6", value);
		return 0;
	case 'o':
		o->output = value;
		return 0;
	case 'd':
		o->duration_s = parse_duration(state, value);
		return 0;
	case 'm':
		o->buffer_size = parse_size(state, value);
		return 0;
	case OPT_MAX_SIZE:
		o->max_size = parse_size(state, value);
		return 0;
	case OPT_BACKEND:
		args->backend = parse_name(state, "--backend", value, backend_names);
		return 0;
	case OPT_TIMING:
		o->timing = parse_name(state, "--timing", value, timing_names);
		return 0;
	case OPT_CLOCK:
		o->clock = parse_name(state, "--clock", value, clock_names);
		return 0;
	case OPT_PSB_PERIOD:
		o->psb_period = parse_size(state, value);
		if (o->psb_period > MAX_PSB_PERIOD)
			argp_error(state, "--psb-period %s: 64M is the most", value);
		return 0;
	case OPT_KERNEL:
		o->kernel = true;
		return 0;
	case OPT_SCHED:
		o->sched = true;
		return 0;
	case OPT_FILTER:
		o->filter = value;
		return 0;
	case OPT_SNAPSHOT:
		o->snapshot = true;
		return 0;
	case OPT_LOSSY:
		o->lossy = true;
		return 0;
	case OPT_DRY_RUN:
		args->dry_run = true;
		return 0;
	case ARGP_KEY_ARG:
		/* The first word that is no option begins the command. */
		o->command = (const char *const *)&state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		check_arguments(state, args);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- running --- */

static int wrong_id(const struct ptf_error *err)
{
	ptf_command_fail("record", err);
	return PTF_EXIT_USAGE;
}

/* Ids that do not exist are wrong usage. */
static int check_ids(const struct arguments *args)
{
	const struct ptf_record_options *o = &args->options;
	struct ptf_error err = {0};
	pid_t pid = 0;

	if (o->tid && ptf_proc_info(o->tid, NULL, NULL, &err) < 0)
		return wrong_id(&err);
	for (size_t i = 0; i < o->n_pids; i++) {
		if (ptf_proc_info(o->pids[i], &pid, NULL, &err) < 0)
			return wrong_id(&err);
		if (pid != o->pids[i]) {
			fprintf(stderr,
			        "ptflame record: %d is a thread of process %d: use -t %d or -p "
			        "%d\n",
			        (int)o->pids[i], (int)pid, (int)o->pids[i], (int)pid);
			return PTF_EXIT_USAGE;
		}
	}
	return 0;
}

static enum backend choose_backend(
        const struct arguments *args, const struct ptf_pt_hardware *hardware)
{
	const struct ptf_record_options *o = &args->options;

	if (args->backend != BACKEND_AUTO)
		return args->backend;
	if ((o->n_pids && ptf_record_sim_available(o->pids[0])) ||
	        (o->tid && ptf_record_sim_available(o->tid)))
		return BACKEND_SIM;
	return hardware->present ? BACKEND_PERF : BACKEND_SIM;
}

static int dry_run_perf(
        const struct ptf_record_options *options, const struct ptf_pt_hardware *hardware)
{
	struct ptf_perf_command command;
	struct ptf_error err = {0};
	char *text;

	if (ptf_perf_command_init(&command, options, hardware, &err) < 0)
		return ptf_command_fail("record", &err);
	text = ptf_perf_command_text(&command);
	if (text)
		puts(text);
	free(text);
	ptf_perf_command_release(&command);
	return text ? PTF_EXIT_OK : PTF_EXIT_FAILURE;
}

static int dry_run_sim(const struct ptf_record_options *options)
{
	struct ptf_error err = {0};

	if (ptf_record_sim_check(options, &err) < 0)
		return ptf_command_fail("record", &err);
	printf("simulated PT, timing %s, to %s:", timing_names[options->timing], options->output);
	for (size_t i = 0; i < options->n_pids; i++)
		printf(" process %d%s", (int)options->pids[i],
		        ptf_record_sim_available(options->pids[i]) ? "" : " (not simulated!)");
	if (options->tid)
		printf(" thread %d%s", (int)options->tid,
		        ptf_record_sim_available(options->tid) ? "" : " (not simulated!)");
	for (const char *const *arg = options->command; arg && *arg; arg++)
		printf("%s %s", arg == options->command ? " ptflame sim --wait --" : "", *arg);
	putchar('\n');
	return 0;
}

static void print_size(FILE *out, double bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	int unit = 0;

	while (bytes >= 1000 && unit < 4) {
		bytes /= 1000;
		unit++;
	}
	fprintf(out, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void print_losses(const struct ptf_record_result *result)
{
	if (result->truncations || result->lost_aux_bytes) {
		fprintf(stderr, "ptflame record: trace data was lost in %" PRIu64 " places",
		        result->truncations);
		if (result->lost_aux_bytes) {
			fputs(" (", stderr);
			print_size(stderr, (double)result->lost_aux_bytes);
			fputc(')', stderr);
		}
		fprintf(stderr,
		        ": use a larger buffer (-m 64M), fewer timing packets "
		        "(--timing mtc)%s or a faster disk\n",
		        result->simulated ? ", leave --lossy out" : "");
	}
	if (result->lost_switches)
		fprintf(stderr,
		        "ptflame record: %" PRIu64
		        " context switch records were lost: on and off the CPU are a guess "
		        "around them\n",
		        result->lost_switches);
}

static void print_result(
        const struct ptf_record_options *options, const struct ptf_record_result *result)
{
	bool lost = result->truncations || result->lost_aux_bytes || result->lost_switches;

	fprintf(stderr, "ptflame record: %s: ", options->output);
	print_size(stderr, (double)result->file_bytes);
	fprintf(stderr, " in %.2f s (%.1f MB/s)", result->seconds,
	        result->seconds > 0 ? (double)result->file_bytes / 1e6 / result->seconds : 0);
	if (result->threads)
		fprintf(stderr, ", %zu thread%s", result->threads, result->threads == 1 ? "" : "s");
	if (result->switches)
		fprintf(stderr, ", %" PRIu64 " context switch%s", result->switches,
		        result->switches == 1 ? "" : "es");
	fputs(lost ? "\n" : ", nothing lost\n", stderr);
	if (result->stacks)
		fprintf(stderr,
		        "ptflame record: the stacks of %zu threads were copied, which stopped each "
		        "for %.2f ms at most\n",
		        result->stacks, 1e-6 * (double)result->longest_stop_ns);
	print_losses(result);
	if (result->simulated && result->dilation > 1)
		fprintf(stderr,
		        "ptflame record: simulated: time on the CPU is stretched about %.0f "
		        "times\n",
		        result->dilation);
	if (result->waited_ns)
		fprintf(stderr,
		        "ptflame record: simulated: threads waited %.2f s for the recorder: "
		        "[recorder] in the report\n",
		        1e-9 * (double)result->waited_ns);
}

static int run(const struct arguments *args, const struct ptf_pt_hardware *hardware)
{
	const struct ptf_record_options *options = &args->options;
	enum backend backend = choose_backend(args, hardware);
	struct ptf_record_result result = {0};
	struct ptf_error err = {0};
	time_t since = time(NULL);
	int rc;

	if (args->dry_run)
		return backend == BACKEND_PERF ? dry_run_perf(options, hardware)
		                               : dry_run_sim(options);
	if (options->tid)
		fprintf(stderr,
		        "ptflame record: only thread %d: threads that it makes are not "
		        "followed (-p follows them)\n",
		        (int)options->tid);
	rc = backend == BACKEND_PERF ? ptf_record_perf(options, hardware, &result, &err)
	                             : ptf_record_sim(options, &result, &err);
	if (rc == 0)
		rc = ptf_attach_jit(
		        options->output, options->command ? since : 0, &result.file_bytes, &err);
	if (rc < 0)
		return ptf_command_fail("record", &err);
	print_result(options, &result);
	return result.command_ended ? result.command_status : PTF_EXIT_OK;
}

int cmd_record(int argc, char **argv)
{
	static const struct argp argp = {
	        option_list, parse_option, "[--] [COMMAND [ARG...]]", doc, NULL, NULL, NULL};
	struct arguments args = {
	        .options = {
	                .output = "ptflame.data", .argc = argc, .argv = (const char *const *)argv}};
	/* Another place for /sys and /proc, for tests. */
	const char *root = getenv("PTFLAME_SYSROOT");
	struct ptf_pt_hardware hardware;
	char name[] = "ptflame record";
	int status;

	argv[0] = name;
	argp_err_exit_status = PTF_EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);
	args.options.pids = args.pids.v;
	args.options.n_pids = args.pids.n;
	ptf_pt_hardware_probe(&hardware, root ? root : "");
	status = check_ids(&args);
	if (!status)
		status = run(&args, &hardware);
	ptf_vec_release(&args.pids);
	return status;
}
