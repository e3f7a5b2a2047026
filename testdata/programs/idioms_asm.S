/* SPDX-License-Identifier: BSD-2-Clause */
/* The assembly of idioms.c; see there. */

.macro FUNCTION name
	.globl	\name
	.type	\name, @function
\name:
	.cfi_startproc
.endm

.macro END name
	.cfi_endproc
	.size	\name, . - \name
.endm

	.text

/* Calls the next instruction, whose address it pops; no return belongs to this call. */
FUNCTION own_address
	call	1f
1:	pop	%rax
	ret
END own_address

/* The jump to *%rax of compilers' retpolines: a return to an address put in place of its own. */
FUNCTION retpoline_rax
	call	2f
1:	pause
	lfence
	jmp	1b
2:	mov	%rax, (%rsp)
	ret
END retpoline_rax

FUNCTION retpoline_call
	mov	%rdi, %rax
	mov	%rsi, %rdi
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	retpoline_rax
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
END retpoline_call

/* A tail call to %rdi, done by a return. */
FUNCTION push_return
	push	%rdi
	mov	%rsi, %rdi
	ret
END push_return

FUNCTION memory_call
	mov	%rdi, %rax
	mov	%rsi, %rdi
	push	%rbx
	.cfi_adjust_cfa_offset 8
	mov	%rax, %rbx
	call	*(%rbx)
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
END memory_call

/* Conditional branches to the next instruction, taken or not as the low bit of the argument says. */
FUNCTION odd_returns
	push	$1
	push	%rdi
	call	returns_with_pop
	test	$1, %al
	jz	1f
1:	jnz	2f
2:	mov	%rax, %rdi
	call	returns_prefixed
	mov	%rax, %rdi
	call	returns_prefixed
	push	$1
	push	%rax
	call	returns_with_pop
	ret
END odd_returns

FUNCTION returns_prefixed
	lea	1(%rdi), %rax
	repz ret
END returns_prefixed

/* Takes two arguments on the stack and removes them; returns their sum. */
FUNCTION returns_with_pop
	mov	8(%rsp), %rax
	add	16(%rsp), %rax
	ret	$16
END returns_with_pop

/* What follows the call runs twice: the first time it returns to itself. */
FUNCTION runs_twice
	push	%rbx
	.cfi_adjust_cfa_offset 8
	mov	%rdi, %rbx
	xor	%eax, %eax
	call	1f
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
1:	call	2f
2:	call	*%rbx
	ret
END runs_twice

/* The callee takes the data behind the call, and returns behind it. */
FUNCTION reads_inline
	push	%rbx
	.cfi_adjust_cfa_offset 8
	mov	%rdi, %rbx
	call	skips_inline
	.quad	42
	push	%rax
	call	*%rbx
	pop	%rax
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
END reads_inline

FUNCTION skips_inline
	mov	(%rsp), %rdx
	mov	(%rdx), %rax
	addq	$8, (%rsp)
	ret
END skips_inline

	.section .note.GNU-stack, "", @progbits
