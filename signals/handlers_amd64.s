//go:build !purego

#include "textflag.h"
#include "handlers.h"

#define SYS_write 1
#define SYS_open 2
#define SYS_close 3
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_exit_group 231
#define SA_RESTORER 0x04000000

// A struct sigaction. Its restorer is never called, because exitOnSignal does not return.
DATA exitAction<>+0(SB)/8, $·exitOnSignal(SB)
DATA exitAction<>+8(SB)/8, $SA_RESTORER
DATA exitAction<>+16(SB)/8, $·exitOnSignal(SB)
DATA exitAction<>+24(SB)/8, $-1
GLOBL exitAction<>(SB), RODATA|NOPTR, $32

// The program starts at entry, because it is linked with the flag -E. The kernel has put
// argc, the arguments, nil, the environment and nil on the stack.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0-0
	// Block all signals first, so that they stay pending from here on.
	MOVL $SYS_rt_sigprocmask, AX
	MOVL $SIG_BLOCK, DI
	LEAQ everything<>(SB), SI
	LEAQ ·enteredMask(SB), DX
	MOVL $8, R10
	SYSCALL

	// open(2) returns the lowest closed descriptor. So open / until the descriptor is
	// above 2, and record the lower ones in enteredClosed.
stdio:
	MOVL $SYS_open, AX
	LEAQ slash<>(SB), DI
	MOVL $O_PATH_CLOEXEC, SI
	MOVL $0, DX
	SYSCALL
	CMPQ AX, $2
	JHI  enough // the comparison is unsigned, so a negative result (an error) is greater too
	BTSL AX, ·enteredClosed(SB)
	JMP  stdio

enough:
	MOVQ AX, DI
	MOVL $SYS_close, AX
	SYSCALL

	// rt_sigaction(sig, nil, &enteredAction[sig-1], 8) for 64 signals. The signals of
	// FATAL that have the default action get exitAction.
	MOVL $1, BX
	LEAQ ·enteredAction(SB), R12

actions:
	MOVL $SYS_rt_sigaction, AX
	MOVL BX, DI
	MOVL $0, SI
	MOVQ R12, DX
	MOVL $8, R10
	SYSCALL
	MOVL $FATAL, AX
	BTQ  BX, AX
	JCC  next
	CMPQ (R12), $0
	JNE  next
	MOVL $SYS_rt_sigaction, AX
	MOVL BX, DI
	LEAQ exitAction<>(SB), SI
	MOVL $0, DX
	MOVL $8, R10
	SYSCALL

next:
	ADDQ $32, R12
	INCL BX
	CMPL BX, $64
	JLS  actions

	// Move argc, the arguments and their nil down, and put the injected variables
	// into the gap in front of the environment.
	MOVQ SP, SI
	SUBQ $32, SP
	MOVQ SP, DI
	MOVQ (SI), CX
	ADDQ $2, CX
	CLD
	REP; MOVSQ
	LEAQ injected<>(SB), SI
	MOVL $4, CX
	REP; MOVSQ

	MOVL $1, ·entered(SB)
	JMP  _rt0_amd64_linux(SB)

// exitOnSignal is the handler of the signals of FATAL until Open. It ends the process
// with status 128+n. The Go runtime replaces exitOnSignal by its own handler, which calls
// exitOnSignal except for QUIT.
TEXT ·exitOnSignal(SB), NOSPLIT|NOFRAME, $0-0
	ADDL $128, DI
	MOVL $SYS_exit_group, AX
	SYSCALL
	RET

// The kernel calls a signal handler with the signal in DI and the address of its
// siginfo_t in SI.

// forwardUnlessFault calls the runtime's handler if the kernel has sent the signal for a
// fault. The si_code of such a signal is greater than 0.
TEXT ·forwardUnlessFault(SB), NOSPLIT|NOFRAME, $0-0
	CMPL SI_CODE(SI), $0
	JLE  forward
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

forward:
	JMP ·forward(SB)

// forwardUnlessPreemption calls the runtime's handler if this process has sent the signal
// by tgkill(2), because the runtime sends it to its threads to preempt goroutines.
TEXT ·forwardUnlessPreemption(SB), NOSPLIT|NOFRAME, $0-0
	CMPL SI_CODE(SI), $SI_TKILL
	JNE  forward
	MOVL SI_PID(SI), AX
	CMPL AX, ·self(SB)
	JNE  forward
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

forward:
	JMP ·forward(SB)

// forwardUnlessOwn drops a signal that the kernel has sent because of this process's own
// actions. The si_code of such a signal is greater than 0 or, for a failed write, si_pid
// is the pid of this process.
TEXT ·forwardUnlessOwn(SB), NOSPLIT|NOFRAME, $0-0
	CMPL SI_CODE(SI), $0
	JGT  drop
	MOVL SI_PID(SI), AX
	CMPL AX, ·self(SB)
	JEQ  drop
	JMP  ·forward(SB)

drop:
	RET

// forward writes a record, the beginning of the siginfo_t, to the pipe. If the pipe is
// full, it counts the signal in missed and then writes a record of zeros, to wake the
// reader. If the pipe is still full, its other records wake the reader.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	MOVLQSX DI, R8
	LEAQ ·pipes(SB), AX
	MOVL (AX)(R8*4), DI
	MOVL $RECORD_SIZE, DX
	MOVL $SYS_write, AX
	SYSCALL // changes only AX, CX and R11
	TESTQ AX, AX
	JGT  done
	LEAQ ·missed(SB), AX
	LOCK
	INCL (AX)(R8*4)
	LEAQ zeros<>(SB), SI
	MOVL $SYS_write, AX
	SYSCALL

done:
	RET

// func handlers() (every, unlessFault, unlessPreemption, unlessOwn uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-32
	LEAQ ·forward(SB), AX
	MOVQ AX, every+0(FP)
	LEAQ ·forwardUnlessFault(SB), AX
	MOVQ AX, unlessFault+8(FP)
	LEAQ ·forwardUnlessPreemption(SB), AX
	MOVQ AX, unlessPreemption+16(FP)
	LEAQ ·forwardUnlessOwn(SB), AX
	MOVQ AX, unlessOwn+24(FP)
	RET
