/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void fiber_switch(void **from, void *to) leaves by a return that no call of its stack made,
 * jump_switch by a jump to the address that it takes from the stack.
 */
.macro SWITCH name
	.globl	\name
	.type	\name, @function
\name:
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
.endm

.macro END name
	.cfi_endproc
	.size	\name, . - \name
.endm

	.text
SWITCH fiber_switch
	ret
END fiber_switch

SWITCH jump_switch
	pop	%rcx
	jmp	*%rcx
END jump_switch

	.section .note.GNU-stack, "", @progbits
