/* A kernel whose first instructions end in a triple fault: an interrupt without a table for it. */
	.section .note.GNU-stack, "", @progbits
	.text
	.globl _start
_start:
	lidt nothing(%rip)
	int3
	hlt
	.balign 8
nothing:
	.space 10
