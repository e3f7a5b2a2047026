/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/sim_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptflame/sim_protocol.h>

#include "record/sim_program.h"

#define EMULATOR "qemu-x86_64"
#define PLUGIN "ptflame-sim.so"
#define LOOP "ptflame-sim-loop"
#define MAX_RESULT 64 /* bytes of a line that the loop prints */

extern char **environ;

/* Places of the plugin as seen from the directory of the running program: build tree, installed. */
static const char *const plugin_places[] = {
        "../../tools/sim", "../lib/ptflame", "../lib/x86_64-linux-gnu/ptflame", "../lib64/ptflame"};

struct tools {
	char emulator[PATH_MAX];
	char plugin[PATH_MAX];
	char loop[PATH_MAX]; /* calibration program, beside the plugin */
};

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Looks for name as execvp does; false when it is not there. */
static bool find_in_path(const char *name, char *path)
{
	const char *dirs = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; dirs; dirs = *end ? end + 1 : NULL) {
		end = strchrnul(dirs, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dirs), dirs,
		            end > dirs ? "/" : "", name) < PATH_MAX &&
		        is_program(path))
			return true;
	}
	return false;
}

static int find_plugin(char *plugin, struct ptf_error *err)
{
	const char *named = getenv("PTFLAME_SIM_PLUGIN");
	char self[PATH_MAX], place[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	size_t i;

	if (named)
		return realpath(named, plugin) ? 0 : ptf_error_set_errno(err, errno, "%s", named);
	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (i = 0; i < sizeof(plugin_places) / sizeof(*plugin_places); i++) {
		snprintf(place, sizeof(place), "%s/%s/%s", self, plugin_places[i], PLUGIN);
		if (access(place, R_OK) == 0 && realpath(place, plugin))
			return 0;
	}
	return ptf_error_set(err, PTF_ENOENT,
	        "the simulator's plugin %s is not installed; PTFLAME_SIM_PLUGIN can name it",
	        PLUGIN);
}

static int find_tools(struct tools *tools, struct ptf_error *err)
{
	char *slash;
	int rc;

	if (!find_in_path(EMULATOR, tools->emulator))
		return ptf_error_set(err, PTF_ENOENT,
		        "simulated PT needs %s (Debian: apt-get install "
		        "--no-install-recommends qemu-user)",
		        EMULATOR);
	rc = find_plugin(tools->plugin, err);
	if (rc < 0)
		return rc;
	strcpy(tools->loop, tools->plugin);
	slash = strrchr(tools->loop, '/') + 1;
	snprintf(slash, sizeof(tools->loop) - (size_t)(slash - tools->loop), LOOP);
	return 0;
}

/* Runs a command and reads the one number that it prints; 0 when that fails. */
static double run_loop(char *const *argv)
{
	posix_spawn_file_actions_t actions;
	char line[MAX_RESULT] = "";
	size_t n = 0;
	ssize_t got = 1;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return 0;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (pid > 0 && n < sizeof(line) - 1 && got > 0) {
		got = read(fds[0], line + n, sizeof(line) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return 0;
	return strtod(line, NULL);
}

/* CPU time of the loop, recorded into nothing, over its time without the simulator. */
static double measure_dilation(struct tools *tools)
{
	char option[2 * PATH_MAX];
	char *native[] = {tools->loop, NULL};
	char *simulated[] = {tools->emulator, "-plugin", option, tools->loop, NULL};
	double alone, slow;

	if (strchr(tools->plugin, ',')) /* would have to be doubled; hardly worth it */
		return 0;
	snprintf(option, sizeof(option), "%s,calibrate=1", tools->plugin);
	alone = run_loop(native);
	slow = run_loop(simulated);
	return alone > 0 ? slow / alone : 0;
}

/* The result is kept beside the sockets, for this emulator and this plugin. */
static int cache_name(const struct tools *tools, char *path, size_t size)
{
	char dir[64];
	struct stat st, emulator, plugin;

	snprintf(dir, sizeof(dir), PTF_SIM_SOCKET_DIR_FORMAT, getuid());
	(void)mkdir(dir, 0700);
	if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
	        (st.st_mode & 077) || stat(tools->emulator, &emulator) < 0 ||
	        stat(tools->plugin, &plugin) < 0)
		return -1;
	snprintf(path, size, "%s/dilation-%lx.%lx-%lx.%lx", dir, (unsigned long)emulator.st_ino,
	        (unsigned long)emulator.st_mtime, (unsigned long)plugin.st_ino,
	        (unsigned long)plugin.st_mtime);
	return 0;
}

static double dilation_of(struct tools *tools)
{
	char path[256];
	double dilation = 0;
	bool cached = cache_name(tools, path, sizeof(path)) == 0;
	FILE *file = cached ? fopen(path, "re") : NULL;

	if (file) {
		if (fscanf(file, "%lf", &dilation) != 1)
			dilation = 0;
		fclose(file);
	}
	if (dilation > 0)
		return dilation;
	dilation = measure_dilation(tools);
	file = cached && dilation > 0 ? fopen(path, "we") : NULL;
	if (file) {
		fprintf(file, "%.4f\n", dilation);
		fclose(file);
	}
	return dilation;
}

static int build(const struct ptf_sim_launch *launch, const struct ptf_sim_program *program,
        char ***argv, struct ptf_error *err)
{
	struct tools tools;
	struct ptf_sim_emulator emulator = {.plugin = tools.plugin,
	        .clock = launch->clock,
	        .wait_ms = launch->wait ? -1 : 0,
	        .lossy = launch->lossy};
	struct ptf_sim_args command = {0};
	char *name;
	int rc = find_tools(&tools, err);

	if (rc < 0)
		return rc;
	if (launch->clock == PTF_SIM_CLOCK_REAL)
		emulator.dilation = dilation_of(&tools);
	rc = ptf_sim_program_command(program, &emulator, &command, err);
	name = strdup(tools.emulator);
	if (rc == 0 && !name)
		rc = ptf_error_set(err, PTF_ENOMEM, "out of memory");
	if (rc < 0) {
		ptf_sim_args_release(&command);
		free(name);
		return rc;
	}
	free(command.v[0]);
	command.v[0] = name;
	*argv = command.v;
	return 0;
}

int ptf_sim_launch_argv(const struct ptf_sim_launch *launch, char ***argv, struct ptf_error *err)
{
	struct ptf_sim_program program;
	char path[PATH_MAX];
	int rc;

	if (!launch->command || !launch->command[0])
		return ptf_error_set(err, PTF_EINVAL, "no command to run");
	if (!find_in_path(launch->command[0], path))
		return ptf_error_set(err, PTF_ENOENT, "%s: command not found", launch->command[0]);
	rc = ptf_sim_program_init(&program, path, launch->command, err);
	if (rc < 0)
		return rc;
	if (program.simulable)
		rc = build(launch, &program, argv, err);
	else
		rc = ptf_error_set(err, PTF_EUNSUPPORTED,
		        "%s: not an x86-64 program, which is all that can be simulated",
		        program.path);
	ptf_sim_program_release(&program);
	return rc;
}

void ptf_sim_launch_free(char **argv)
{
	size_t i;

	for (i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

int ptf_sim_launch_exec(const struct ptf_sim_launch *launch, struct ptf_error *err)
{
	char **argv;
	int rc = ptf_sim_launch_argv(launch, &argv, err);

	if (rc < 0)
		return rc;
	execv(argv[0], argv);
	rc = ptf_error_set_errno(err, errno, "%s", argv[0]);
	ptf_sim_launch_free(argv);
	return rc;
}
