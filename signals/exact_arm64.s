//go:build !purego

#include "textflag.h"
#include "exact.h"

#define SYS_openat 56
#define SYS_close 57
#define SYS_write 64
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_exit_group 94
#define AT_FDCWD -100

// A struct sigaction.
DATA endingAction<>+0(SB)/8, $·ending(SB)
DATA endingAction<>+8(SB)/8, $0
DATA endingAction<>+16(SB)/8, $0
DATA endingAction<>+24(SB)/8, $-1
GLOBL endingAction<>(SB), RODATA|NOPTR, $32

// entry is the program's first instruction (the linker's -E). The stack is as
// the kernel has made it: argc, the arguments, nil, the environment, nil.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0-0
	// The mask first: from here on signals wait.
	MOVD $SIG_BLOCK, R0
	MOVD $everything<>(SB), R1
	MOVD $·enteredMask(SB), R2
	MOVD $8, R3
	MOVD $SYS_rt_sigprocmask, R8
	SVC

	// What is closed of 0, 1 and 2 is what openat(2) returns, until it returns more.
	MOVD $0, R9
	MOVD $1, R10

stdio:
	MOVD $AT_FDCWD, R0
	MOVD $slash<>(SB), R1
	MOVD $O_PATH_CLOEXEC, R2
	MOVD $0, R3
	MOVD $SYS_openat, R8
	SVC
	CMP  $2, R0
	BHI  enough // unsigned: errors too
	LSL  R0, R10, R11
	ORR  R11, R9
	B    stdio

enough:
	MOVD $SYS_close, R8
	SVC
	MOVD $·enteredClosed(SB), R11
	MOVW R9, (R11)

	// rt_sigaction(sig, nil, &enteredAction[sig-1], 8) for 64 signals; and those
	// of ENDING, if they have the default action, get another.
	MOVD $1, R9
	MOVD $·enteredAction(SB), R10

actions:
	MOVD R9, R0
	MOVD $0, R1
	MOVD R10, R2
	MOVD $8, R3
	MOVD $SYS_rt_sigaction, R8
	SVC
	MOVD $ENDING, R11
	LSR  R9, R11, R11
	TBZ  $0, R11, next
	MOVD (R10), R11
	CBNZ R11, next
	MOVD R9, R0
	MOVD $endingAction<>(SB), R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $SYS_rt_sigaction, R8
	SVC

next:
	ADD  $32, R10
	ADD  $1, R9
	CMP  $64, R9
	BLS  actions

	// argc, the arguments and their nil move down, and the runtime's variables
	// into the gap.
	MOVD RSP, R9
	SUB  $32, RSP
	MOVD RSP, R10
	MOVD (R9), R11
	ADD  $2, R11

move:
	MOVD.P 8(R9), R12
	MOVD.P R12, 8(R10)
	SUB  $1, R11
	CBNZ R11, move
	MOVD $forRuntime<>(SB), R9
	MOVD $4, R11

fill:
	MOVD.P 8(R9), R12
	MOVD.P R12, 8(R10)
	SUB  $1, R11
	CBNZ R11, fill

	MOVD $1, R9
	MOVD $·entered(SB), R11
	MOVW R9, (R11)
	B    _rt0_arm64_linux(SB)

// ending is a signal handler until Open: it ends the process as the signal would
// end any but PID 1. The runtime calls it too, when it cannot end PID 1 itself.
TEXT ·ending(SB), NOSPLIT|NOFRAME, $0-0
	ADD  $128, R0
	MOVD $SYS_exit_group, R8
	SVC
	RET

// forwardSent is the handler of signals that the kernel and the runtime use
// too: only SI_USER (0) and SI_QUEUE (-1) were sent by somebody.
TEXT ·forwardSent(SB), NOSPLIT|NOFRAME, $0-0
	MOVW 8(R1), R9 // si_code
	ADDW $1, R9
	CMPW $1, R9
	BLS  sent // unsigned
	MOVD ·runtimeHandler(SB), R9
	JMP  (R9)

sent:
	B ·forward(SB)

// forward is a signal handler: R0 is the signal, R1 its siginfo. Whether the
// write succeeds cannot matter here.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $·pipes(SB), R9
	MOVW (R9)(R0<<2), R0
	MOVD $24, R2 // the size of a record
	MOVD $SYS_write, R8
	SVC
	RET

// func handlers() (every, sent uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-16
	MOVD $·forward(SB), R0
	MOVD R0, every+0(FP)
	MOVD $·forwardSent(SB), R0
	MOVD R0, sent+8(FP)
	RET
