/* SPDX-License-Identifier: BSD-2-Clause */
#include "record/sim_program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/vec.h"

#define HEAD_SIZE 256  /* Linux's BINPRM_BUF_SIZE: what it looks at */
#define MAX_SCRIPTS 4  /* scripts that are interpreters of scripts, as Linux allows */
#define GUEST_SEED "1" /* with the insn clock, of the guest's random numbers (AT_RANDOM) */

bool ptf_sim_args_add(struct ptf_sim_args *args, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return false;
	if (ptf_vec_push(args, copy))
		return true;
	free(copy);
	return false;
}

void ptf_sim_args_release(struct ptf_sim_args *args)
{
	size_t i;

	for (i = 0; i < args->n; i++)
		free(args->v[i]);
	ptf_vec_release(args);
}

static int no_memory(struct ptf_error *err)
{
	return ptf_error_set(err, PTF_ENOMEM, "out of memory");
}

/* The first bytes of an executable file, terminated. */
static int read_head(const char *path, char *head, struct ptf_error *err)
{
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) < 0 || access(path, X_OK) < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return ptf_error_set(err, PTF_EPERM, "%s: not a program", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ptf_error_set_errno(err, errno, "%s", path);
	memset(head, 0, HEAD_SIZE);
	n = read(fd, head, HEAD_SIZE - 1);
	close(fd);
	return n >= 0 ? 0 : ptf_error_set(err, PTF_EIO, "%s: cannot read", path);
}

static bool is_script(const char *head)
{
	return head[0] == '#' && head[1] == '!';
}

static bool is_x86_64(const char *head)
{
	Elf64_Ehdr header;

	memcpy(&header, head, sizeof(header));
	return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
	       header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_machine == EM_X86_64;
}

/* "#!interpreter argument": argv becomes interpreter, argument, path, argv[1]... */
static int enter_script(struct ptf_sim_program *p, char *head, struct ptf_error *err)
{
	struct ptf_sim_args args = {0};
	char *save, *interpreter, *argument;
	bool ok;
	size_t i;

	head[strcspn(head, "\n")] = 0;
	interpreter = strtok_r(head + 2, " \t", &save);
	argument = strtok_r(NULL, "", &save);
	if (!interpreter)
		return ptf_error_set(err, PTF_EINVAL, "%s: no interpreter", p->path);
	if (argument)
		argument += strspn(argument, " \t");
	ok = ptf_sim_args_add(&args, interpreter);
	if (argument && *argument)
		ok = ok && ptf_sim_args_add(&args, argument);
	ok = ok && ptf_sim_args_add(&args, p->path);
	for (i = 1; i < p->args.n; i++)
		ok = ok && ptf_sim_args_add(&args, p->args.v[i]);
	ptf_sim_args_release(&p->args);
	p->args = args;
	free(p->path);
	p->path = strdup(interpreter);
	return ok && p->path ? 0 : no_memory(err);
}

static int resolve(struct ptf_sim_program *p, struct ptf_error *err)
{
	char head[HEAD_SIZE];
	int depth, rc = read_head(p->path, head, err);

	for (depth = 0; rc == 0 && is_script(head); depth++) {
		if (depth == MAX_SCRIPTS)
			return ptf_error_set(err, PTF_EINVAL, "%s: too many interpreters", p->path);
		rc = enter_script(p, head, err);
		if (rc == 0)
			rc = read_head(p->path, head, err);
	}
	if (rc == 0)
		p->simulable = is_x86_64(head);
	return rc;
}

int ptf_sim_program_init(
        struct ptf_sim_program *p, const char *path, const char *const *argv, struct ptf_error *err)
{
	const char *slash = strrchr(path, '/');
	bool ok = true;
	int rc;

	*p = (struct ptf_sim_program){
	        .path = strdup(path), .comm = strdup(slash ? slash + 1 : path)};
	for (; ok && *argv; argv++)
		ok = ptf_sim_args_add(&p->args, *argv);
	if (p->args.n == 0) /* Linux gives an empty string to such programs */
		ok = ok && ptf_sim_args_add(&p->args, "");
	rc = ok && p->path && p->comm ? resolve(p, err) : no_memory(err);
	if (rc == 0 && !ptf_sim_args_add(&p->args, NULL))
		rc = no_memory(err);
	if (rc < 0)
		ptf_sim_program_release(p);
	return rc;
}

void ptf_sim_program_release(struct ptf_sim_program *p)
{
	free(p->path);
	free(p->comm);
	ptf_sim_args_release(&p->args);
	*p = (struct ptf_sim_program){0};
}

/* Writes text with its commas doubled, as the emulator's option lists have it. */
static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		fputc(*text, out);
		if (*text == ',')
			fputc(',', out);
	}
}

static char *plugin_option(
        const struct ptf_sim_program *program, const struct ptf_sim_emulator *emulator)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_escaped(out, emulator->plugin);
	fprintf(out, ",clock=%s,dilation=%.4f,wait=%d",
	        emulator->clock == PTF_SIM_CLOCK_INSN ? "insn" : "real", emulator->dilation,
	        emulator->wait_ms);
	if (emulator->lossy)
		fputs(",lossy=1", out);
	if (emulator->pid)
		fprintf(out, ",pid=%d,next=%d,now=%lu", emulator->pid, emulator->next_id,
		        (unsigned long)emulator->clock_ns);
	fputs(",comm=", out);
	put_escaped(out, program->comm);
	if (emulator->log_dir) {
		fputs(",log=", out);
		put_escaped(out, emulator->log_dir);
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

int ptf_sim_program_command(const struct ptf_sim_program *program,
        const struct ptf_sim_emulator *emulator, struct ptf_sim_args *command,
        struct ptf_error *err)
{
	char *option = plugin_option(program, emulator);
	bool ok = option && ptf_sim_args_add(command, "qemu-x86_64") &&
	          ptf_sim_args_add(command, "-plugin") && ptf_sim_args_add(command, option);
	size_t i;

	free(option);
	if (emulator->clock == PTF_SIM_CLOCK_INSN)
		ok = ok && ptf_sim_args_add(command, "-seed") &&
		     ptf_sim_args_add(command, GUEST_SEED);
	ok = ok && ptf_sim_args_add(command, "-0") &&
	     ptf_sim_args_add(command, program->args.v[0]) &&
	     ptf_sim_args_add(command, program->path);
	for (i = 1; i < program->args.n; i++) /* its end included */
		ok = ok && ptf_sim_args_add(command, program->args.v[i]);
	return ok ? 0 : no_memory(err);
}
