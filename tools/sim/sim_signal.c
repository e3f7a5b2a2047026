/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim.h"

#include <signal.h>

/* QEMU's order of the general registers in its register file. */
enum { QEMU_RDX = 2, QEMU_RSP = 4, QEMU_RSI = 6, QEMU_RDI = 7, QEMU_RIP = 16 };

/* Linux's rt_sigframe on x86-64: return address, ucontext, siginfo. */
#define FRAME_UCONTEXT 8u
#define FRAME_RSP (FRAME_UCONTEXT + 40 + 15 * 8)
#define FRAME_RIP (FRAME_UCONTEXT + 40 + 16 * 8)
#define SIGINFO_CODE 8u
#define MAX_NESTED 64 /* frames of signals delivered together */

/* Handlers ever installed: an old one may still be entered by a signal that was on its way. */
#define MAX_HANDLERS 1024
static struct {
	uint64_t pc, restorer;
	uint64_t signals; /* bit n - 1: of signal n */
} handlers[MAX_HANDLERS];
static _Atomic unsigned handler_count;
static pthread_mutex_t handlers_lock = PTHREAD_MUTEX_INITIALIZER;

void sim_signal_action(int signo, uint64_t handler, uint64_t restorer)
{
	unsigned n, i;

	if (handler <= 1 || signo < 1 || signo > 64)
		return;
	pthread_mutex_lock(&handlers_lock);
	n = handler_count;
	for (i = 0; i < n; i++)
		if (handlers[i].pc == handler && handlers[i].restorer == restorer)
			break;
	if (i < MAX_HANDLERS) {
		handlers[i].pc = handler;
		handlers[i].restorer = restorer;
		handlers[i].signals |= 1ull << (signo - 1);
		if (i == n)
			handler_count = n + 1;
	}
	pthread_mutex_unlock(&handlers_lock);
	sim_block_mark_handler(handler);
}

bool sim_signal_known(uint64_t pc)
{
	unsigned n = handler_count, i;

	for (i = 0; i < n; i++)
		if (handlers[i].pc == pc)
			return true;
	return false;
}

/* Does the frame at sp return through the restorer of handler pc? */
static bool frame_is_of(uint64_t sp, uint64_t pc)
{
	unsigned n = handler_count, i;
	uint64_t restorer;

	if (sim_guest_read(sp, &restorer, 8) != 8)
		return false;
	for (i = 0; i < n; i++)
		if (handlers[i].pc == pc && handlers[i].restorer == restorer)
			return true;
	return false;
}

bool sim_signal_is_fault(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL ||
	       signo == SIGTRAP;
}

/* A kernel-made siginfo says so by a positive code; handlers without SA_SIGINFO get no siginfo, and
 * their frame says 0: then the signal decides. */
static bool is_fault(int signo, uint64_t info)
{
	int32_t head[3] = {0};

	if (!sim_signal_is_fault(signo) || sim_guest_read(info, head, sizeof(head)) != sizeof(head))
		return false;
	return head[0] != signo || head[2] > 0;
}

bool sim_signal_entered(
        const uint64_t *regs, const struct sim_block *block, struct sim_interrupt *out)
{
	uint64_t sp = regs[QEMU_RSP], pc = block->pc, saved[2];
	int signo = (int)regs[QEMU_RDI], depth;

	if (regs[QEMU_RDI] < 1 || regs[QEMU_RDI] > 64 || regs[QEMU_RDX] != sp + FRAME_UCONTEXT ||
	        !frame_is_of(sp, pc))
		return false;
	out->fault = is_fault(signo, regs[QEMU_RSI]);
	/* Of signals delivered together only the last one's handler runs at once; its frame
	 * interrupts the entry of the next one's handler, and so on. */
	for (depth = 0; depth < MAX_NESTED; depth++) {
		if (sim_guest_read(sp + FRAME_RSP, saved, sizeof(saved)) != sizeof(saved))
			return false;
		sp = saved[0];
		out->ip = saved[1];
		if (!sim_signal_known(out->ip) || !frame_is_of(sp, out->ip))
			break;
	}
	return true;
}

uint64_t sim_signal_next_ip(const uint64_t *regs)
{
	return regs[QEMU_RIP];
}
