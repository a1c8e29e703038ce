#include "textflag.h"

// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
#define FLAGS 0x50f00

// func startThread(stack uintptr) (errno uintptr)
TEXT ·startThread(SB), NOSPLIT, $0-16
	MOVL	$56, AX // clone
	MOVL	$FLAGS, DI
	MOVQ	stack+0(FP), SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	SYSCALL
	CMPQ	AX, $0
	JEQ	thread
	MOVQ	$0, errno+8(FP)
	JGT	done
	NEGQ	AX
	MOVQ	AX, errno+8(FP)
done:
	RET
thread:
	MOVL	$60, AX // exit
	XORL	DI, DI
	SYSCALL
	JMP	thread
