/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execve: the new program is to be simulated, too, so the emulator is executed with it, the way
 * this process was started. Programs that are not x86-64 run natively.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/sim_program.h"

#define MAX_ARGS (1u << 20)
#define EXEC_WAIT_MS 5000

/* A NULL-terminated array of guest strings. */
static bool read_guest_array(uint64_t addr, struct ptf_sim_args *args)
{
	uint64_t item = 0;

	for (; addr && args->n < MAX_ARGS; addr += sizeof(item)) {
		char *text;
		bool ok;

		if (sim_guest_read(addr, &item, sizeof(item)) != sizeof(item))
			return false;
		if (!item)
			break;
		text = sim_guest_long_string(item);
		ok = text && ptf_sim_args_add(args, text);
		free(text);
		if (!ok)
			return false;
	}
	return ptf_sim_args_add(args, NULL);
}

static int emulator_command(const struct sim_thread *t, const struct ptf_sim_program *program,
        struct ptf_sim_args *command)
{
	bool insn = sim.clock == PTF_SIM_CLOCK_INSN;
	struct ptf_sim_emulator emulator = {.plugin = sim.plugin_path,
	        .clock = sim.clock,
	        .dilation = sim.dilation,
	        .wait_ms = sim.recording ? EXEC_WAIT_MS : 0,
	        .lossy = sim.lossy,
	        .pid = insn ? t->pid : 0,
	        .next_id = *sim.next_id,
	        .clock_ns = t->insns,
	        .log_dir = sim.log_dir};

	return ptf_sim_program_command(program, &emulator, command, NULL);
}

static void tell(struct sim_thread *t, const char *path, bool simulated)
{
	struct ptf_sim_exec message = {.time_ns = sim_thread_time(t),
	        .pid = t->pid,
	        .tid = t->tid,
	        .simulated = simulated};

	if (!sim.recording)
		return;
	sim_server_send(PTF_SIM_EXEC, &message, sizeof(message), path, strlen(path) + 1);
	sim_server_end(t);
}

static void enter(struct sim_thread *t, const char *path, const struct ptf_sim_args *argv,
        const struct ptf_sim_args *env)
{
	struct ptf_sim_args command = {0};
	struct ptf_sim_program program;

	if (ptf_sim_program_init(&program, path, (const char *const *)argv->v, NULL) < 0)
		return; /* execve will fail as it does natively */
	/* With the insn clock, too, the exec must come after the last packet of the old program. */
	t->insns += sim.clock == PTF_SIM_CLOCK_INSN;
	if (!program.simulable) {
		tell(t, path, false);
		sim_server_stop();
	} else if (emulator_command(t, &program, &command) == 0) {
		tell(t, path, true);
		sim_server_stop();
		execve("/proc/self/exe", command.v, env->v);
	}
	ptf_sim_args_release(&command);
	ptf_sim_program_release(&program);
}

void sim_exec(struct sim_thread *t, uint64_t path_addr, uint64_t argv_addr, uint64_t envp_addr)
{
	char *path = sim_guest_string(path_addr);
	struct ptf_sim_args argv = {0}, env = {0};
	bool self = path && strcmp(path, "/proc/self/exe") == 0 && sim.exe_path;

	if (path && read_guest_array(argv_addr, &argv) && read_guest_array(envp_addr, &env))
		enter(t, self ? sim.exe_path : path, &argv, &env);
	ptf_sim_args_release(&argv);
	ptf_sim_args_release(&env);
	free(path);
}
