/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plugin's entry points, and its options: clock=real|insn, dilation=X, wait=MS (-1: for ever),
 * lossy=1, calibrate=1 (records into nothing), pid=N, next=N (canonical ids), now=NS (insn clock)
 * and comm=NAME after execve, log=DIR (debug: the true sequence of blocks, per thread: pc and
 * instructions, 8 bytes each).
 */
#include "sim.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include "qemu_plugin_abi.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct sim sim = {.clock_start = SIM_CLOCK_START, .threads_lock = PTHREAD_MUTEX_INITIALIZER};

bool sim_quiet;

/* QEMU's generated code keeps the virtual CPU's state, which begins with its general registers in
 * memory at the start of a block, in rbp; the plugin interface does not show registers. */
__asm__(".text\n"
        ".local sim_block_entry\n"
        ".type sim_block_entry, @function\n"
        "sim_block_entry:\n"
        "	cmpb $0, sim_quiet(%rip)\n"
        "	jne 1f\n"
        "	movq %rbp, %rdx\n"
        "	jmp sim_flow_block\n"
        "1:	movq sim_regs@gottpoff(%rip), %rax\n"
        "	movq %rbp, %fs:(%rax)\n"
        "	ret\n"
        ".size sim_block_entry, . - sim_block_entry\n");
void sim_block_entry(unsigned vcpu, void *block);

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct sim_block *block = sim_block_of(tb);

	if (block)
		qemu_plugin_register_vcpu_tb_exec_cb(
		        tb, sim_block_entry, QEMU_PLUGIN_CB_NO_REGS, block);
}

static void on_vcpu_init(qemu_plugin_id_t id, unsigned vcpu)
{
	sim_thread_birth(vcpu);
}

static void on_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t num, uint64_t a1, uint64_t a2,
        uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
	const uint64_t args[6] = {a1, a2, a3, a4, a5, a6};
	struct sim_thread *t = sim_thread_self();

	if (!t)
		t = sim_thread_enter(vcpu);
	if (!t->regs)
		t->regs = sim_regs;
	sim_syscall_enter(t, num, args);
}

static void on_syscall_return(qemu_plugin_id_t id, unsigned vcpu, int64_t num, int64_t ret)
{
	struct sim_thread *t = sim_thread_self();

	if (t)
		sim_syscall_return(t, num, ret);
}

static void on_emulator_exit(qemu_plugin_id_t id, void *data)
{
	struct sim_thread *t = sim_thread_self();

	if (t && t->on)
		sim_flow_finish_at(t, sim_signal_next_ip(t->regs), false);
	sim_server_end(t);
	sim_server_stop();
}

static int32_t next_id = SIM_FIRST_ID + 1;

static bool parse_option(const char *option)
{
	if (strcmp(option, "clock=insn") == 0)
		sim.clock = PTF_SIM_CLOCK_INSN;
	else if (strcmp(option, "clock=real") == 0)
		sim.clock = PTF_SIM_CLOCK_REAL;
	else if (strncmp(option, "dilation=", 9) == 0)
		sim.dilation = strtod(option + 9, NULL);
	else if (strncmp(option, "wait=", 5) == 0)
		sim.wait_ms = atoi(option + 5);
	else if (strncmp(option, "pid=", 4) == 0)
		sim.pid = atoi(option + 4);
	else if (strcmp(option, "lossy=1") == 0)
		sim.lossy = true;
	else if (strcmp(option, "calibrate=1") == 0)
		sim.calibrate = true;
	else if (strncmp(option, "next=", 5) == 0)
		next_id = atoi(option + 5);
	else if (strncmp(option, "now=", 4) == 0)
		sim.clock_start = strtoull(option + 4, NULL, 10);
	else if (strncmp(option, "comm=", 5) == 0)
		snprintf(sim.comm, sizeof(sim.comm), "%s", option + 5);
	else if (strncmp(option, "log=", 4) == 0)
		sim.log_dir = strdup(option + 4);
	else
		return false;
	return true;
}

/* Executes this very command again. */
static void begin_anew(void)
{
	FILE *file = fopen("/proc/self/cmdline", "re");
	char *text = NULL, *at, **argv = NULL;
	size_t cap = 0, n = 0;
	ssize_t size = file ? getdelim(&text, &cap, EOF, file) : -1; /* all of it */

	if (file)
		fclose(file);
	if (size > 0)
		argv = calloc((size_t)size + 1, sizeof(*argv));
	for (at = text; argv && at < text + size; at += strlen(at) + 1)
		argv[n++] = at;
	if (argv)
		execv("/proc/self/exe", argv);
	free(argv);
	free(text);
}

/* With the insn clock everything repeats: no address randomisation. */
static void stop_randomisation(void)
{
	int persona = personality(0xffffffff);

	if (sim.clock != PTF_SIM_CLOCK_INSN || persona == -1 || persona & ADDR_NO_RANDOMIZE)
		return;
	if (personality((unsigned long)persona | ADDR_NO_RANDOMIZE) != -1)
		begin_anew();
}

static bool share_ids(void)
{
	void *page = mmap(NULL, sizeof(*sim.next_id), PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return false;
	sim.next_id = page;
	*sim.next_id = next_id;
	return true;
}

static void identify_process(void)
{
	sim.real_pid = getpid();
	if (sim.clock == PTF_SIM_CLOCK_REAL) {
		sim.pid = sim.real_pid;
		sim.ppid = getppid();
	} else if (!sim.pid) {
		sim.pid = SIM_FIRST_ID;
	}
}

int qemu_plugin_install(
        qemu_plugin_id_t id, const struct qemu_plugin_info *info, int argc, char **argv)
{
	Dl_info self;
	int i;

	if (info->system_emulation || strcmp(info->target_name, "x86_64") != 0)
		return -1;
	for (i = 0; i < argc; i++)
		if (!parse_option(argv[i]))
			return fprintf(stderr, "ptflame-sim: unknown option %s\n", argv[i]), -1;
	stop_randomisation();
	if (dladdr(&sim, &self))
		sim.plugin_path = strdup(self.dli_fname);
	identify_process();
	sim.waiting = sim.wait_ms != 0;
	if (!share_ids())
		return -1;
	sim_clock_calibrate();
	if (sim.calibrate)
		sim.recording = true;
	else if (!sim_server_start())
		return fprintf(stderr, "ptflame-sim: cannot make the control socket\n"), -1;
	if (!sim_death_watch())
		fprintf(stderr, "ptflame-sim: traces of a process that dies of a signal will miss "
		                "their end\n");
	sim_maps_snapshot();
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
	qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_return);
	qemu_plugin_register_atexit_cb(id, on_emulator_exit, NULL);
	return 0;
}
