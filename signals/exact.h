// What exact_*.s have in common: constants of open(2) and sigprocmask(2), alike
// on both processors, and data.

#define O_PATH_CLOEXEC 0x280000
#define SIG_BLOCK 0
#define ENDING 0x800E // HUP, INT, QUIT, TERM: signal n is bit n

DATA slash<>+0(SB)/2, $"/\x00"
GLOBL slash<>(SB), RODATA|NOPTR, $2
DATA everything<>+0(SB)/8, $-1
GLOBL everything<>(SB), RODATA|NOPTR, $8

// For the Go runtime of this process, in front of the environment.
DATA gomaxprocs<>+0(SB)/8, $"GOMAXPRO"
DATA gomaxprocs<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL gomaxprocs<>(SB), RODATA|NOPTR, $16
// No SIGURG of the runtime's own to preempt goroutines, of which there is none
// that does not yield: it can be told from somebody else's by its si_code, but
// the kernel forgets that when a user's queue of pending signals is full.
DATA godebug<>+0(SB)/8, $"GODEBUG="
DATA godebug<>+8(SB)/8, $"asyncpre"
DATA godebug<>+16(SB)/8, $"emptoff="
DATA godebug<>+24(SB)/8, $"1\x00\x00\x00\x00\x00\x00\x00"
GLOBL godebug<>(SB), RODATA|NOPTR, $32
DATA gogc<>+0(SB)/8, $"GOGC=100"
DATA gogc<>+8(SB)/8, $0
GLOBL gogc<>(SB), RODATA|NOPTR, $16
DATA gomemlimit<>+0(SB)/8, $"GOMEMLIM"
DATA gomemlimit<>+8(SB)/8, $"IT=off\x00\x00"
GLOBL gomemlimit<>(SB), RODATA|NOPTR, $16

// An even number of them: the stack is aligned to 16 bytes.
DATA forRuntime<>+0(SB)/8, $gomaxprocs<>(SB)
DATA forRuntime<>+8(SB)/8, $godebug<>(SB)
DATA forRuntime<>+16(SB)/8, $gogc<>(SB)
DATA forRuntime<>+24(SB)/8, $gomemlimit<>(SB)
GLOBL forRuntime<>(SB), RODATA|NOPTR, $32
