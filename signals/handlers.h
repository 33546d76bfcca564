// Constants and data for handlers_*.s. The constants of open(2), sigprocmask(2) and
// sigaction(2) are the same on both processors.

#define O_PATH_CLOEXEC 0x280000
#define SIG_BLOCK 0
#define FATAL 0x800E // HUP, INT, QUIT, TERM: signal n is bit n

// Offsets in siginfo_t, and a value of si_code.
#define SI_CODE 8
#define SI_PID 16
#define SI_TKILL -6

#define RECORD_SIZE 24

DATA slash<>+0(SB)/2, $"/\x00"
GLOBL slash<>(SB), RODATA|NOPTR, $2
DATA everything<>+0(SB)/8, $-1
GLOBL everything<>(SB), RODATA|NOPTR, $8
GLOBL zeros<>(SB), RODATA|NOPTR, $RECORD_SIZE

// Variables for the Go runtime of this process, in front of the environment.
DATA gomaxprocs<>+0(SB)/8, $"GOMAXPRO"
DATA gomaxprocs<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL gomaxprocs<>(SB), RODATA|NOPTR, $16
// With asyncpreemptoff=1 the runtime sends no SIGURG to preempt goroutines. usher does
// not need preemption, because all its goroutines yield. Such a SIGURG must not be
// forwarded to the app, but forwardUnlessPreemption cannot always recognise it. If the
// user's queue of pending signals is full (RLIMIT_SIGPENDING), a signal of tgkill(2)
// arrives without its siginfo_t.
DATA godebug<>+0(SB)/8, $"GODEBUG="
DATA godebug<>+8(SB)/8, $"asyncpre"
DATA godebug<>+16(SB)/8, $"emptoff="
DATA godebug<>+24(SB)/8, $"1\x00\x00\x00\x00\x00\x00\x00"
GLOBL godebug<>(SB), RODATA|NOPTR, $32
DATA gogc<>+0(SB)/8, $"GOGC=100"
DATA gogc<>+8(SB)/8, $0
GLOBL gogc<>(SB), RODATA|NOPTR, $16
// A heap of usher is a few MiB. Without a limit the runtime's goal for the size of the heap is
// infinite while the loop of package supervisor pauses the collector (beginFork). If a
// collection ends in that time, the runtime asks the kernel for huge pages for its own data,
// because the goal is above 1 GiB, and the kernel adds up to 2 MiB of memory.
DATA gomemlimit<>+0(SB)/8, $"GOMEMLIM"
DATA gomemlimit<>+8(SB)/8, $"IT=1GiB\x00"
GLOBL gomemlimit<>(SB), RODATA|NOPTR, $16

// The number of variables must be even, so that the stack stays aligned to 16 bytes.
DATA injected<>+0(SB)/8, $gomaxprocs<>(SB)
DATA injected<>+8(SB)/8, $godebug<>(SB)
DATA injected<>+16(SB)/8, $gogc<>(SB)
DATA injected<>+24(SB)/8, $gomemlimit<>(SB)
GLOBL injected<>(SB), RODATA|NOPTR, $32
