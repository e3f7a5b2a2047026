/* SPDX-License-Identifier: BSD-2-Clause */
/* Code for recordings that tests write packet by packet (src/cli/tests/ptf_tracelib.py): never run.
 * alpha and beta call leaf (one TNT bit, its return) and make a system call, over and over; spin
 * takes one TNT bit a round; filtered and its tail_out leave for outside, which calls back. */
	.text

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro done name
	.size \name, . - \name
	.p2align 4, 0xcc
	.endm

	function _start
	jmp	alpha
	done	_start

	function alpha
	call	leaf
	syscall
	jmp	alpha
	done	alpha

	function beta
	call	leaf
	syscall
	jmp	beta
	done	beta

	function leaf
	ret
	done	leaf

	function spin
	dec	%eax
	jnz	spin
	ret
	done	spin

	function filtered
	call	leaf
	call	outside
	call	leaf
	call	tail_out
	ret
	done	filtered

	function tail_out
	call	leaf
	jmp	outside
	done	tail_out

	.p2align 12, 0xcc
	function outside
	call	leaf
	ret
	done	outside

	.section .note.GNU-stack, "", @progbits
