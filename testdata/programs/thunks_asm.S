/* SPDX-License-Identifier: BSD-2-Clause */
/* The thunks that -mindirect-branch=thunk-extern leaves to the program. */

.macro THUNK register
	.globl	__x86_indirect_thunk_\register
	.type	__x86_indirect_thunk_\register, @function
__x86_indirect_thunk_\register:
	call	2f
1:	pause
	lfence
	jmp	1b
2:	mov	%\register, (%rsp)
	ret
	.size	__x86_indirect_thunk_\register, . - __x86_indirect_thunk_\register
.endm

	.text
.irp	register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	THUNK	\register
.endr

	.section .note.GNU-stack, "", @progbits
