package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// failingCall is a system call that usher makes, and the errnos with which it fails in the
// tests.
type failingCall struct {
	number int
	name   string
	kind   string // distinguishes calls by their arguments, such as "pipe" and "socket": a result of kind_of in testdata/inject.c; "*": any other kind
	errnos []syscall.Errno
}

const (
	ePERM   = unix.EPERM
	eNOENT  = unix.ENOENT
	eINTR   = unix.EINTR
	eIO     = unix.EIO
	eAGAIN  = unix.EAGAIN
	eNOMEM  = unix.ENOMEM
	eACCES  = unix.EACCES
	eMFILE  = unix.EMFILE
	eNFILE  = unix.ENFILE
	eNOSPC  = unix.ENOSPC
	eNOBUFS = unix.ENOBUFS
)

// failingCalls lists each system call that usher makes. The errnos come from the ERRORS
// sections of the manual pages (man-pages 6.03). Among the errnos left out are two kinds:
//   - errnos that only a wrong argument causes: EBADF, EFAULT, EINVAL, ENOTSOCK, ESRCH for a
//     child that has not been reaped, ...
//   - EAGAIN of a read, a write to a socket, or an accept. The kernel returns it only if there
//     is nothing to read or no room, and epoll(7) reports when that changes. After an EAGAIN
//     that inject returns, nothing changes, so usher would wait for a report that never comes.
var failingCalls = []failingCall{
	{unix.SYS_ACCEPT4, "accept4", "*", errnos(unix.ECONNABORTED, eINTR, eMFILE, eNFILE, eNOBUFS, eNOMEM, ePERM, unix.EPROTO)},
	{unix.SYS_ARCH_PRCTL, "arch_prctl", "*", nil},
	{unix.SYS_BIND, "bind", "*", errnos(eACCES, unix.EADDRINUSE, unix.EADDRNOTAVAIL, eNOMEM)},
	{unix.SYS_CHDIR, "chdir", "*", errnos(eACCES, eIO, eNOENT, eNOMEM, unix.ENOTDIR)},
	{unix.SYS_CLONE, "clone", "*", errnos(eAGAIN, eNOMEM, ePERM)},
	{unix.SYS_CLOSE, "close", "*", errnos(eINTR, eIO, eNOSPC)},
	{unix.SYS_CONNECT, "connect", "*", errnos(eACCES, ePERM, unix.EADDRNOTAVAIL, eAGAIN, unix.ECONNREFUSED, eINTR, unix.ENETUNREACH, unix.ETIMEDOUT)},
	{unix.SYS_DUP3, "dup3", "*", errnos(unix.EBUSY, eINTR, eMFILE)},
	{unix.SYS_EPOLL_CREATE1, "epoll_create1", "*", errnos(eMFILE, eNFILE, eNOMEM)},
	{unix.SYS_EPOLL_CTL, "epoll_ctl", "*", errnos(eNOMEM, eNOSPC, ePERM)},
	{unix.SYS_EPOLL_PWAIT, "epoll_pwait", "*", errnos(eINTR)},
	{unix.SYS_EVENTFD2, "eventfd2", "*", errnos(eMFILE, eNFILE, unix.ENODEV, eNOMEM)},
	{unix.SYS_EXECVE, "execve", "*", errnos(unix.E2BIG, eACCES, eAGAIN, eIO, unix.EISDIR, unix.ELIBBAD, unix.ELOOP, eMFILE, eNFILE, eNOENT, unix.ENOEXEC, eNOMEM, unix.ENOTDIR, ePERM, unix.ETXTBSY)},
	{unix.SYS_EXIT_GROUP, "exit_group", "*", nil},
	{unix.SYS_FACCESSAT, "faccessat", "*", errnos(eACCES, eIO, eNOENT, eNOMEM)},
	{unix.SYS_FCNTL, "fcntl", "1", nil}, // kinds 1 to 3 are F_GETFD, F_SETFD and F_GETFL, which fail only for a wrong descriptor
	{unix.SYS_FCNTL, "fcntl", "2", nil},
	{unix.SYS_FCNTL, "fcntl", "3", nil},
	{unix.SYS_FCNTL, "fcntl", "4", errnos(ePERM)},                        // F_SETFL
	{unix.SYS_FCNTL, "fcntl", "1031", errnos(unix.EBUSY, eNOMEM, ePERM)}, // F_SETPIPE_SZ
	{unix.SYS_FCNTL, "fcntl", "*", errnos(eAGAIN, eINTR, eMFILE, ePERM)},
	{unix.SYS_FSTAT, "fstat", "*", errnos(eNOMEM, unix.EOVERFLOW)},
	{unix.SYS_FUTEX, "futex", "wait", errnos(eAGAIN, eINTR)},
	{unix.SYS_FUTEX, "futex", "wake", nil},
	{unix.SYS_GETCWD, "getcwd", "*", errnos(eACCES, unix.ENAMETOOLONG, eNOENT, eNOMEM)},
	{unix.SYS_GETDENTS64, "getdents64", "*", errnos(eNOENT)},
	{unix.SYS_GETEUID, "geteuid", "*", nil},
	{unix.SYS_GETPEERNAME, "getpeername", "*", errnos(eNOBUFS, unix.ENOTCONN)},
	{unix.SYS_GETPID, "getpid", "*", nil},
	{unix.SYS_GETRLIMIT, "getrlimit", "*", errnos(ePERM)},
	{unix.SYS_GETSOCKNAME, "getsockname", "*", errnos(eNOBUFS)},
	{unix.SYS_GETSOCKOPT, "getsockopt", "*", errnos(unix.ENOPROTOOPT)},
	{unix.SYS_GETTID, "gettid", "*", nil},
	{unix.SYS_IOCTL, "ioctl", "*", errnos(unix.ENOTTY)},
	{unix.SYS_KILL, "kill", "*", errnos(ePERM)},
	{unix.SYS_LISTEN, "listen", "*", errnos(unix.EADDRINUSE)},
	{unix.SYS_MADVISE, "madvise", "*", errnos(eAGAIN, eIO, eNOMEM, ePERM)},
	{unix.SYS_MMAP, "mmap", "*", errnos(eACCES, eAGAIN, eNOMEM, ePERM)},
	{unix.SYS_MUNMAP, "munmap", "*", errnos(eNOMEM)},
	{unix.SYS_NANOSLEEP, "nanosleep", "*", errnos(eINTR)},
	{unix.SYS_NEWFSTATAT, "newfstatat", "*", errnos(eACCES, unix.ELOOP, eNOENT, eNOMEM, unix.ENOTDIR)},
	{unix.SYS_OPEN, "open", "*", errnos(eACCES, eMFILE, eNFILE)},
	{unix.SYS_OPENAT, "openat", "*", errnos(eACCES, eINTR, unix.ELOOP, eMFILE, eNFILE, unix.ENODEV, eNOENT, eNOMEM, eNOSPC, unix.ENXIO, ePERM)},
	{unix.SYS_PIPE2, "pipe2", "*", errnos(eMFILE, eNFILE)},
	{unix.SYS_PRCTL, "prctl", "*", errnos(eACCES, unix.EINVAL, ePERM)},
	{unix.SYS_PREAD64, "pread64", "*", errnos(eINTR, eIO)},
	{unix.SYS_PRLIMIT64, "prlimit64", "*", errnos(ePERM)},
	{unix.SYS_READ, "read", "pipe", errnos(eINTR)},
	{unix.SYS_READ, "read", "blocking pipe", errnos(eINTR)},
	{unix.SYS_READ, "read", "socket", errnos(eINTR, unix.ECONNRESET, eNOMEM)},
	{unix.SYS_READ, "read", "*", errnos(eINTR, eIO)},
	{unix.SYS_READLINKAT, "readlinkat", "*", errnos(eACCES, eIO, unix.ELOOP, eNOENT, eNOMEM)},
	{unix.SYS_RESTART_SYSCALL, "restart_syscall", "*", nil},
	{unix.SYS_RT_SIGACTION, "rt_sigaction", "*", nil},
	{unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask", "*", nil},
	{unix.SYS_RT_SIGRETURN, "rt_sigreturn", "*", nil},
	{unix.SYS_SCHED_GETAFFINITY, "sched_getaffinity", "*", errnos(ePERM)},
	{unix.SYS_SCHED_YIELD, "sched_yield", "*", nil},
	{unix.SYS_SENDTO, "sendto", "*", errnos(eACCES, eAGAIN, unix.ECONNREFUSED, unix.ECONNRESET, eINTR, eNOBUFS, eNOMEM, unix.EPIPE)},
	{unix.SYS_SETPGID, "setpgid", "*", errnos(eACCES, ePERM, unix.ESRCH)},
	{unix.SYS_SETSOCKOPT, "setsockopt", "*", errnos(unix.ENOPROTOOPT, eNOMEM)},
	{unix.SYS_SIGALTSTACK, "sigaltstack", "*", nil},
	{unix.SYS_SOCKET, "socket", "*", errnos(eACCES, unix.EAFNOSUPPORT, eMFILE, eNFILE, eNOBUFS, eNOMEM)},
	{unix.SYS_TGKILL, "tgkill", "*", errnos(eAGAIN, unix.ESRCH)},
	{unix.SYS_UNAME, "uname", "*", nil},
	{unix.SYS_WAIT4, "wait4", "*", errnos(eINTR)},
	{unix.SYS_WRITE, "write", "eventfd", errnos(eINTR)},
	{unix.SYS_WRITE, "write", "pipe", errnos(eAGAIN)},
	{unix.SYS_WRITE, "write", "blocking pipe", errnos(eINTR, unix.EPIPE)},
	{unix.SYS_WRITE, "write", "socket", errnos(eINTR, unix.EPIPE, unix.ECONNRESET, eNOMEM)},
	{unix.SYS_WRITE, "write", "std", errnos(eAGAIN, unix.EDQUOT, unix.EFBIG, eINTR, eIO, eNOSPC, ePERM, unix.EPIPE)},
}

func errnos(e ...syscall.Errno) []syscall.Errno { return e }

// faultsOfTheRuntime are the faults on which the Go runtime prints a trace and exits with 2.
// usher cannot prevent them. All of them happen before the app exists, except for mmap: on a
// machine with many processes a scan of /proc may need more memory than the 4 MiB that the
// runtime has mapped at its start.
var faultsOfTheRuntime = []struct {
	call, kind string
	from, to   int   // phases
	uses       []int // nil: all
	errnos     []syscall.Errno
	trace      string // a regexp for the beginning of the trace
}{
	// The runtime needs threads and memory before it runs the first line of usher. Later
	// makeThreads starts the threads that usher may need, and if clone(2) fails, the runtime
	// ends the process. EAGAIN is not listed for clone, because the runtime repeats the call for
	// up to 0.2 s, and the tests make it fail only once. If a limit on processes makes it fail
	// each time, checkPids reports that before makeThreads starts a thread.
	{"clone", "thread", phaseRuntime, phaseWait, nil, errnos(eNOMEM, ePERM), `runtime: failed to create new OS thread \(have \d+ already; errno=\d+\)`},
	{"mmap", "0", phaseRuntime, phaseRuntime, []int{1, 2}, errnos(eACCES, eAGAIN, eNOMEM, ePERM), `fatal error: failed to reserve page summary memory`},
	{"mmap", "3", phaseRuntime, phaseLast, nil, errnos(eACCES), `runtime: mmap: access denied|` + noMapping},
	{"mmap", "3", phaseRuntime, phaseLast, nil, errnos(eAGAIN), `runtime: mmap: too much locked memory \(check 'ulimit -l'\)\.|` + noMapping},
	{"mmap", "3", phaseRuntime, phaseLast, nil, errnos(eNOMEM, ePERM), noMemory + `|` + noMapping},
	// Each of these three system calls is made twice: first by checkDescriptors, which prints
	// an error if the call fails, and a few microseconds later by the Go runtime, which prints
	// a trace.
	{"epoll_create1", "", phaseChecks, phaseChecks, []int{2}, errnos(eMFILE, eNFILE, eNOMEM), `runtime: epollcreate failed with \d+`},
	{"eventfd2", "", phaseChecks, phaseChecks, []int{2}, errnos(eMFILE, eNFILE, unix.ENODEV, eNOMEM), `runtime: eventfd failed with \d+`},
	{"epoll_ctl", "eventfd", phaseChecks, phaseChecks, []int{2}, errnos(eNOMEM, eNOSPC, ePERM), `runtime: epollctl failed with \d+`},
}

// The Go runtime prints one of these texts if it cannot get memory. Which one depends on what
// it needs the memory for.
const (
	noMemory  = `fatal error: (runtime: cannot allocate memory|runtime: out of memory|out of memory|pageAlloc: out of memory|out of memory allocating (heap arena map|heap arena metadata|allArenas))`
	noMapping = `runtime: mmap\(0x[0-9a-f]+, \d+\) returned 0x0, \d+`
)

// regressions are faults with which an earlier usher broke a promise. "make test" tries all
// of these, but only some of the other faults.
var regressions = []string{
	"PID 1, checks: epoll_ctl pipe #1 ENOSPC",     // usher did not notice signals and exits of children
	"subreaper, checks: epoll_ctl pipe #2 ENOMEM", // the same
	"PID 1, pre-start: write pipe #1 EAGAIN",      // the exit of the hook was lost
	"PID 1, drain: epoll_ctl pipe #1 ENOSPC",      // the hook was killed by SIGPIPE
	"subreaper, wait: prctl 36 #1 EPERM",          // the log said that usher was a subreaper, although prctl had failed
	"PID 1, stop: kill 15 #1 EPERM",
}
