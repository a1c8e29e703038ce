#include "textflag.h"

// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
#define FLAGS 0x50f00

// func startThread(stack uintptr) (errno uintptr)
TEXT ·startThread(SB), NOSPLIT, $0-16
	MOVD	$220, R8 // clone
	MOVD	$FLAGS, R0
	MOVD	stack+0(FP), R1
	MOVD	ZR, R2
	MOVD	ZR, R3
	MOVD	ZR, R4
	SVC
	CBZ	R0, thread
	MOVD	ZR, R1
	CMP	$0, R0
	BGT	done
	NEG	R0, R1
done:
	MOVD	R1, errno+8(FP)
	RET
thread:
	MOVD	$93, R8 // exit
	MOVD	ZR, R0
	SVC
	B	thread
