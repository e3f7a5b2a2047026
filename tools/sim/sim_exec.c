/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execve: the new program is to be simulated, too, so the emulator is executed with it, the way
 * this process was started. Programs that are not x86-64 run natively.
 */
#include "sim.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/vec.h"

#define MAX_SCRIPTS 4 /* interpreters of interpreters, as Linux has it */
#define MAX_ARGS (1u << 20)
#define EXEC_WAIT_MS 5000
#define HEAD_SIZE 256

struct args {
	char **v;
	size_t n, cap;
};

static bool add(struct args *args, char *text)
{
	return text && ptf_vec_push(args, text);
}

/* A NULL-terminated array of guest strings. */
static bool read_guest_array(uint64_t addr, struct args *args)
{
	uint64_t item;

	for (; addr && args->n < MAX_ARGS; addr += sizeof(item)) {
		if (sim_guest_read(addr, &item, sizeof(item)) != sizeof(item))
			return false;
		if (!item)
			return true;
		if (!add(args, sim_guest_long_string(item)))
			return false;
	}
	return !addr;
}

static bool insert_front(struct args *args, char *text)
{
	if (!add(args, text))
		return false;
	memmove(args->v + 1, args->v, (args->n - 1) * sizeof(*args->v));
	args->v[0] = text;
	return true;
}

/* Reads the head of an executable file; false when execve would fail, or would be denied. */
static bool read_head(const char *path, char *head)
{
	struct stat st;
	int fd;
	ssize_t n;

	if (access(path, X_OK) < 0 || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, head, HEAD_SIZE - 1);
	close(fd);
	head[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* "#!interpreter argument": the arguments become interpreter, argument, path, the rest. */
static char *enter_script(const char *path, char *head, struct args *args)
{
	char *line = head + 2, *save, *interpreter, *argument;

	line[strcspn(line, "\n")] = 0;
	interpreter = strtok_r(line, " \t", &save);
	argument = strtok_r(NULL, "", &save);
	if (!interpreter)
		return NULL;
	if (args->n)
		args->v[0] = strdup(path);
	else
		(void)add(args, strdup(path));
	if (argument && !insert_front(args, strdup(argument + strspn(argument, " \t"))))
		return NULL;
	return insert_front(args, strdup(interpreter)) ? strdup(interpreter) : NULL;
}

static bool is_x86_64(const char *head)
{
	Elf64_Ehdr header;

	memcpy(&header, head, sizeof(header));
	return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == EM_X86_64 &&
	       header.e_ident[EI_CLASS] == ELFCLASS64;
}

/* QEMU's option lists write a comma twice. */
static void append_escaped(char *out, size_t size, const char *text)
{
	size_t n = strlen(out);

	for (; *text && n + 3 < size; text++) {
		out[n++] = *text;
		if (*text == ',')
			out[n++] = ',';
	}
	out[n] = 0;
}

static char *plugin_option(const struct sim_thread *t, const char *comm, bool recording)
{
	static char option[2 * PATH_MAX];
	const char *slash = strrchr(comm, '/');
	char numbers[160];

	option[0] = 0;
	append_escaped(option, sizeof(option), sim.plugin_path);
	snprintf(numbers, sizeof(numbers), ",clock=%s,dilation=%.4f,wait=%d,comm=",
	        sim.clock == PTF_SIM_CLOCK_INSN ? "insn" : "real", sim.dilation,
	        recording ? EXEC_WAIT_MS : 0);
	strcat(option, numbers);
	append_escaped(option, sizeof(option) - 256, slash ? slash + 1 : comm);
	if (sim.clock == PTF_SIM_CLOCK_INSN) {
		snprintf(numbers, sizeof(numbers), ",pid=%d,next=%d", t->pid, (int)*sim.next_id);
		strcat(option, numbers);
	}
	if (sim.log_dir) {
		strcat(option, ",log=");
		append_escaped(option, sizeof(option), sim.log_dir);
	}
	return option;
}

/* qemu -plugin ... -0 argv0 path arg... */
static bool build_command(const struct sim_thread *t, const char *comm, bool recording, char *path,
        const struct args *guest, struct args *command)
{
	size_t i;
	bool ok = add(command, "qemu-x86_64") && add(command, "-plugin") &&
	          add(command, plugin_option(t, comm, recording));

	if (sim.clock == PTF_SIM_CLOCK_INSN)
		ok = ok && add(command, "-seed") && add(command, "1");
	ok = ok && add(command, "-0") && add(command, guest->n ? guest->v[0] : "") &&
	     add(command, path);
	for (i = 1; i < guest->n; i++)
		ok = ok && add(command, guest->v[i]);
	return ok && ptf_vec_push(command, NULL);
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

void sim_exec(struct sim_thread *t, uint64_t path_addr, uint64_t argv, uint64_t envp)
{
	char *name = sim_guest_string(path_addr), *path = name, head[HEAD_SIZE];
	struct args guest = {0}, env = {0}, command = {0};
	bool recording = sim.recording;
	int depth;

	if (name && strcmp(name, "/proc/self/exe") == 0 && sim.exe_path)
		path = strdup(sim.exe_path);
	if (!path || !read_guest_array(argv, &guest) || !read_guest_array(envp, &env) ||
	        !read_head(path, head))
		return;
	for (depth = 0; head[0] == '#' && head[1] == '!'; depth++) {
		path = enter_script(path, head, &guest);
		if (!path || depth == MAX_SCRIPTS || !read_head(path, head))
			return;
	}
	if (!is_x86_64(head)) {
		tell(t, path, false);
		return;
	}
	if (!build_command(t, name, recording, path, &guest, &command) || !ptf_vec_push(&env, NULL))
		return;
	tell(t, path, true);
	sim_server_stop();
	execve("/proc/self/exe", command.v, env.v);
}
