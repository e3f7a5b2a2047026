/* SPDX-License-Identifier: BSD-2-Clause */
/* A kernel for recordings that tests write packet by packet (src/cli/tests/ptf_tracelib.py): linked
 * where Linux runs, with names and calls as in Linux, never run. do_syscall_64 calls through a
 * pointer; a thread that sleeps is left, and goes on, inside of __switch_to. */
	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro done name
	.size \name, . - \name
	.p2align 4, 0xcc
	.endm

	.text
	.globl _text
_text:
	.skip 16, 0xcc

	function entry_SYSCALL_64
	call	do_syscall_64
	sysretq
	done	entry_SYSCALL_64

	function do_syscall_64
	call	*%rax
	ret
	done	do_syscall_64

	function sys_read
	call	mod_read
	ret
	done	sys_read

	function sys_nanosleep
	call	schedule
	ret
	done	sys_nanosleep

	function schedule
	call	__switch_to_asm
	ret
	done	schedule

	function __switch_to_asm
	jmp	__switch_to
	done	__switch_to_asm

	function __switch_to
	ret
	done	__switch_to

	function asm_exc_page_fault
	call	exc_page_fault
	iretq
	done	asm_exc_page_fault

	function exc_page_fault
	ret
	done	exc_page_fault

	/* a module */
	.section .module, "ax", @progbits
	function mod_read
	ret
	done	mod_read

	.section .note.GNU-stack, "", @progbits
