//go:build !purego

#include "textflag.h"
#include "handlers.h"

#define SYS_openat 56
#define SYS_close 57
#define SYS_write 64
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_exit_group 94
#define AT_FDCWD -100

// A struct sigaction.
DATA exitAction<>+0(SB)/8, $·exitOnSignal(SB)
DATA exitAction<>+8(SB)/8, $0
DATA exitAction<>+16(SB)/8, $0
DATA exitAction<>+24(SB)/8, $-1
GLOBL exitAction<>(SB), RODATA|NOPTR, $32

// The program starts at entry, because it is linked with the flag -E. The kernel has put
// argc, the arguments, nil, the environment and nil on the stack.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0-0
	// Block all signals first, so that they stay pending from here on.
	MOVD $SIG_BLOCK, R0
	MOVD $everything<>(SB), R1
	MOVD $·enteredMask(SB), R2
	MOVD $8, R3
	MOVD $SYS_rt_sigprocmask, R8
	SVC

	// openat(2) returns the lowest closed descriptor. So open / until the descriptor is
	// above 2, and record the lower ones in enteredClosed.
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
	BHI  enough // the comparison is unsigned, so a negative result (an error) is greater too
	LSL  R0, R10, R11
	ORR  R11, R9
	B    stdio

enough:
	MOVD $SYS_close, R8
	SVC
	MOVD $·enteredClosed(SB), R11
	MOVW R9, (R11)

	// rt_sigaction(sig, nil, &enteredAction[sig-1], 8) for 64 signals. The signals of
	// FATAL that have the default action get exitAction.
	MOVD $1, R9
	MOVD $·enteredAction(SB), R10

actions:
	MOVD R9, R0
	MOVD $0, R1
	MOVD R10, R2
	MOVD $8, R3
	MOVD $SYS_rt_sigaction, R8
	SVC
	MOVD $FATAL, R11
	LSR  R9, R11, R11
	TBZ  $0, R11, next
	MOVD (R10), R11
	CBNZ R11, next
	MOVD R9, R0
	MOVD $exitAction<>(SB), R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $SYS_rt_sigaction, R8
	SVC

next:
	ADD  $32, R10
	ADD  $1, R9
	CMP  $64, R9
	BLS  actions

	// Move argc, the arguments and their nil down, and put the injected variables
	// into the gap in front of the environment.
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
	MOVD $injected<>(SB), R9
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

// exitOnSignal is the handler of the signals of FATAL until Open. It ends the process
// with status 128+n. The Go runtime replaces exitOnSignal by its own handler, which calls
// exitOnSignal except for QUIT.
TEXT ·exitOnSignal(SB), NOSPLIT|NOFRAME, $0-0
	ADD  $128, R0
	MOVD $SYS_exit_group, R8
	SVC
	RET

// The kernel calls a signal handler with the signal in R0 and the address of its
// siginfo_t in R1.

// forwardUnlessFault calls the runtime's handler if the kernel has sent the signal for a
// fault. The si_code of such a signal is greater than 0.
TEXT ·forwardUnlessFault(SB), NOSPLIT|NOFRAME, $0-0
	MOVW SI_CODE(R1), R9
	CMPW $0, R9
	BLE  forward
	MOVD ·runtimeHandler(SB), R9
	JMP  (R9)

forward:
	B ·forward(SB)

// forwardUnlessPreemption calls the runtime's handler if this process has sent the signal
// by tgkill(2), because the runtime sends it to its threads to preempt goroutines.
TEXT ·forwardUnlessPreemption(SB), NOSPLIT|NOFRAME, $0-0
	MOVW SI_CODE(R1), R9
	CMPW $SI_TKILL, R9
	BNE  forward
	MOVW SI_PID(R1), R9
	MOVW ·self(SB), R10
	CMPW R10, R9
	BNE  forward
	MOVD ·runtimeHandler(SB), R9
	JMP  (R9)

forward:
	B ·forward(SB)

// forwardUnlessOwn drops a signal that the kernel has sent because of this process's own
// actions. The si_code of such a signal is greater than 0 or, for a failed write, si_pid
// is the pid of this process.
TEXT ·forwardUnlessOwn(SB), NOSPLIT|NOFRAME, $0-0
	MOVW SI_CODE(R1), R9
	CMPW $0, R9
	BGT  drop
	MOVW SI_PID(R1), R9
	MOVW ·self(SB), R10
	CMPW R10, R9
	BEQ  drop
	B    ·forward(SB)

drop:
	RET

// forward writes a record, the beginning of the siginfo_t, to the pipe. If the pipe is
// full, it counts the signal in missed and then writes a record of zeros, to wake the
// reader. If the pipe is still full, its other records wake the reader.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	MOVW R0, R10
	MOVD $·pipes(SB), R9
	MOVW (R9)(R10<<2), R11
	MOVD R11, R0
	MOVD $RECORD_SIZE, R2
	MOVD $SYS_write, R8
	SVC // changes only R0
	CMP  $0, R0
	BGT  done
	MOVD $·missed(SB), R9
	ADD  R10<<2, R9, R9

count: // without LDADDAL, because ARMv8.0 processors do not have it
	LDAXRW (R9), R12
	ADDW $1, R12
	STLXRW R12, (R9), R13
	CBNZW R13, count
	MOVD R11, R0
	MOVD $zeros<>(SB), R1
	MOVD $SYS_write, R8
	SVC

done:
	RET

// func handlers() (every, unlessFault, unlessPreemption, unlessOwn uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-32
	MOVD $·forward(SB), R0
	MOVD R0, every+0(FP)
	MOVD $·forwardUnlessFault(SB), R0
	MOVD R0, unlessFault+8(FP)
	MOVD $·forwardUnlessPreemption(SB), R0
	MOVD R0, unlessPreemption+16(FP)
	MOVD $·forwardUnlessOwn(SB), R0
	MOVD R0, unlessOwn+24(FP)
	RET
