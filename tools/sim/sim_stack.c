/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define RED_ZONE 128u /* bytes below the stack pointer that belong to the innermost function */

__thread const uint64_t *sim_regs __attribute__((tls_model("initial-exec")));

/* DWARF's numbers of the general registers (rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 ...) in
 * QEMU's order (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ...). */
static const uint8_t qemu_of_dwarf[PTF_SIM_REGS - 1] = {
        0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};
enum { DWARF_RSP = 7, DWARF_RIP = 16 };

void sim_stack_send(struct sim_thread *t, uint64_t ip)
{
	struct ptf_sim_stack stack = {.pid = t->pid, .tid = t->tid};
	void *copy;
	size_t size, i;

	if (t->fresh || !t->regs || t->stack_epoch == sim.epoch || sim.calibrate)
		return;
	t->stack_epoch = sim.epoch;
	copy = mmap(NULL, PTF_SIM_STACK_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	        -1, 0);
	if (copy == MAP_FAILED)
		return;
	stack.time_ns = sim.clock == PTF_SIM_CLOCK_INSN ? t->insns : sim.start_ns;
	for (i = 0; i < DWARF_RIP; i++)
		stack.regs[i] = t->regs[qemu_of_dwarf[i]];
	stack.regs[DWARF_RIP] = ip;
	stack.addr = stack.regs[DWARF_RSP] - RED_ZONE;
	size = sim_guest_read(stack.addr, copy, PTF_SIM_STACK_MAX);
	sim_server_send(PTF_SIM_STACK, &stack, sizeof(stack), copy, size);
	(void)munmap(copy, PTF_SIM_STACK_MAX);
}

void sim_stack_send_waiting(void)
{
	struct sim_thread *t;

	for (t = sim.threads; t; t = t->next) {
		int expected = SIM_GATE_FREE;

		/* sigreturn is the one call that changes registers. */
		if (!atomic_compare_exchange_strong(&t->gate, &expected, SIM_GATE_SERVER))
			continue;
		if (t->epoch != sim.epoch && t->regs && t->call_num != SYS_rt_sigreturn)
			sim_stack_send(t, sim_signal_next_ip(t->regs));
		t->gate = SIM_GATE_FREE;
	}
}
