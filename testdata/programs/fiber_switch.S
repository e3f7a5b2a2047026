/* SPDX-License-Identifier: BSD-2-Clause */
/* void fiber_switch(void **from, void *to): leaves by a return that no call of this stack made. */
	.text
	.globl	fiber_switch
	.type	fiber_switch, @function
fiber_switch:
	.cfi_startproc
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.cfi_endproc
	.size	fiber_switch, . - fiber_switch
	.section .note.GNU-stack, "", @progbits
