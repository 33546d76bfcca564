//go:build !purego

#include "textflag.h"
#include "exact.h"

#define SYS_write 1
#define SYS_open 2
#define SYS_close 3
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_exit_group 231
#define SA_RESTORER 0x04000000

// A struct sigaction; ending never returns, so its restorer may be anything.
DATA endingAction<>+0(SB)/8, $·ending(SB)
DATA endingAction<>+8(SB)/8, $SA_RESTORER
DATA endingAction<>+16(SB)/8, $·ending(SB)
DATA endingAction<>+24(SB)/8, $-1
GLOBL endingAction<>(SB), RODATA|NOPTR, $32

// entry is the program's first instruction (the linker's -E). The stack is as
// the kernel has made it: argc, the arguments, nil, the environment, nil.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0-0
	// The mask first: from here on signals wait.
	MOVL $SYS_rt_sigprocmask, AX
	MOVL $SIG_BLOCK, DI
	LEAQ everything<>(SB), SI
	LEAQ ·enteredMask(SB), DX
	MOVL $8, R10
	SYSCALL

	// What is closed of 0, 1 and 2 is what open(2) returns, until it returns more.
stdio:
	MOVL $SYS_open, AX
	LEAQ slash<>(SB), DI
	MOVL $O_PATH_CLOEXEC, SI
	MOVL $0, DX
	SYSCALL
	CMPQ AX, $2
	JHI  enough // unsigned: errors too
	BTSL AX, ·enteredClosed(SB)
	JMP  stdio

enough:
	MOVQ AX, DI
	MOVL $SYS_close, AX
	SYSCALL

	// rt_sigaction(sig, nil, &enteredAction[sig-1], 8) for 64 signals; and those
	// of ENDING, if they have the default action, get another.
	MOVL $1, BX
	LEAQ ·enteredAction(SB), R12

actions:
	MOVL $SYS_rt_sigaction, AX
	MOVL BX, DI
	MOVL $0, SI
	MOVQ R12, DX
	MOVL $8, R10
	SYSCALL
	MOVL $ENDING, AX
	BTQ  BX, AX
	JCC  next
	CMPQ (R12), $0
	JNE  next
	MOVL $SYS_rt_sigaction, AX
	MOVL BX, DI
	LEAQ endingAction<>(SB), SI
	MOVL $0, DX
	MOVL $8, R10
	SYSCALL

next:
	ADDQ $32, R12
	INCL BX
	CMPL BX, $64
	JLS  actions

	// argc, the arguments and their nil move down, and the runtime's variables
	// into the gap.
	MOVQ SP, SI
	SUBQ $32, SP
	MOVQ SP, DI
	MOVQ (SI), CX
	ADDQ $2, CX
	CLD
	REP; MOVSQ
	LEAQ forRuntime<>(SB), SI
	MOVL $4, CX
	REP; MOVSQ

	MOVL $1, ·entered(SB)
	JMP  _rt0_amd64_linux(SB)

// ending is a signal handler until Open: it ends the process as the signal would
// end any but PID 1. The runtime calls it too, when it cannot end PID 1 itself.
TEXT ·ending(SB), NOSPLIT|NOFRAME, $0-0
	ADDL $128, DI
	MOVL $SYS_exit_group, AX
	SYSCALL
	RET

// forwardSent is the handler of signals that the kernel and the runtime use
// too: only SI_USER (0) and SI_QUEUE (-1) were sent by somebody.
TEXT ·forwardSent(SB), NOSPLIT|NOFRAME, $0-0
	MOVL 8(SI), AX // si_code
	INCL AX
	CMPL AX, $1
	JLS  sent // unsigned
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

sent:
	JMP ·forward(SB)

// forward is a signal handler: DI is the signal, SI its siginfo. Whether the
// write succeeds cannot matter here.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	LEAQ ·pipes(SB), AX
	MOVL (AX)(DI*4), DI
	MOVL $24, DX // the size of a record
	MOVL $SYS_write, AX
	SYSCALL
	RET

// func handlers() (every, sent uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-16
	LEAQ ·forward(SB), AX
	MOVQ AX, every+0(FP)
	LEAQ ·forwardSent(SB), AX
	MOVQ AX, sent+8(FP)
	RET
