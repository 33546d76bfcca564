/*
 * inject makes one system call of usher fail, or lists usher's system calls.
 *
 *   inject FILE PID1 list|PHASE:CHILD:NUMBER:KIND:USE:ERRNO USHER ARGUMENT...
 *
 * strace(1) can make system calls fail too. But it counts the calls of each thread
 * separately, and with -f it also follows the processes that usher starts. inject counts
 * the calls of all threads of usher together. It follows a child of usher only until the
 * child's execve(2) has succeeded, so the app and the hooks are not traced.
 *
 * With PID1=1 usher is PID 1 of a new PID namespace. With PID1=0 it is a child of inject,
 * which is PID 1. inject passes SIGTERM and SIGUSR1 on to usher, and exits with usher's
 * exit code, or with 128+n if signal n has killed usher. If processes are still alive then,
 * it writes "left" to FILE.
 *
 * "list" writes a line PHASE:CHILD:NUMBER:KIND to FILE for each call. CHILD is 1 for a call
 * of a child before its execve(2). KIND distinguishes calls with the same NUMBER, see
 * kind_of. PHASE counts events, see the calls of next_phase. USE counts from 1 the calls
 * with the same PHASE, CHILD, NUMBER and KIND. When the call has failed, inject writes
 * "injected" to FILE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/ptrace.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reg.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

long ptrace(int request, pid_t pid, unsigned long addr, unsigned long data); /* sys/ptrace.h conflicts with linux/ptrace.h */

static pid_t usher;
static int phase, armed;
static FILE *report;

static struct {
	int list, phase, child, number, use, error;
	char kind[32];
} wanted;

/* A thread of usher, or a child of usher before its execve(2). */
struct tracee {
	pid_t tid;
	int child;
	int failing; /* the errno of its current system call; 0: the call does not fail */
};
static struct tracee tracees[256];

static struct tracee *find(pid_t tid)
{
	struct tracee *unused = NULL;
	for (int i = 0; i < 256; i++) {
		if (tracees[i].tid == tid)
			return &tracees[i];
		if (!unused && !tracees[i].tid)
			unused = &tracees[i];
	}
	if (!unused)
		abort();
	char task[64];
	snprintf(task, sizeof task, "/proc/%d/task/%d", usher, tid);
	*unused = (struct tracee){.tid = tid, .child = access(task, F_OK) != 0};
	return unused;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(99);
}

static void pass_on(int sig) { kill(usher, sig); }

static void next_phase(void) { phase++; }

/* path_kind returns the beginning of a path, or "file". */
static const char *path_kind(const char *path)
{
	static const struct { const char *start, *kind; } kinds[] = {
		{"/proc/", "proc"}, {"/sys/", "sys"}, {"/dev/", "dev"}, {"pipe:", "pipe"}, {"socket:", "socket"},
		{"anon_inode:[eventfd]", "eventfd"}, {"anon_inode:[eventpoll]", "epoll"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strncmp(path, kinds[i].start, strlen(kinds[i].start)))
			return kinds[i].kind;
	return "file";
}

/* blocks returns 1 unless a descriptor has O_NONBLOCK. */
static int blocks(pid_t tid, int fd)
{
	char name[64];
	unsigned flags = 0;
	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", tid, fd);
	FILE *info = fopen(name, "re");
	if (info && fscanf(info, "pos: %*d flags: %o", &flags) != 1)
		flags = 0;
	if (info)
		fclose(info);
	return !(flags & O_NONBLOCK);
}

static const char *fd_kind(pid_t tid, int fd)
{
	char name[64], path[256] = "";
	if (fd >= 0 && fd <= 2)
		return "std";
	snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, fd);
	if (readlink(name, path, sizeof path - 1) < 0)
		return "none";
	const char *kind = path_kind(path);
	return !strcmp(kind, "pipe") && blocks(tid, fd) ? "blocking pipe" : kind;
}

static const char *string_kind(pid_t tid, unsigned long address)
{
	char path[16] = "";
	struct iovec local = {path, sizeof path - 1}, remote = {(void *)address, sizeof path - 1};
	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) < 0)
		return "file";
	return path_kind(path);
}

/* kind_of distinguishes calls of one system call by their arguments. */
static const char *kind_of(pid_t tid, int number, const __u64 *args)
{
	static char text[32];
	switch (number) {
	case SYS_read: case SYS_write: case SYS_close: case SYS_fstat: case SYS_pread64: case SYS_getdents64:
	case SYS_lseek: case SYS_ioctl:
		return fd_kind(tid, args[0]);
	case SYS_epoll_ctl:
		return args[1] == 1 ? fd_kind(tid, args[2]) : "del"; /* EPOLL_CTL_ADD */
	case SYS_openat: case SYS_newfstatat: case SYS_readlinkat: case SYS_faccessat: case SYS_faccessat2:
		return string_kind(tid, args[1]);
	case SYS_open: case SYS_stat: case SYS_execve: case SYS_chdir:
		return string_kind(tid, args[0]);
	case SYS_clone:
		return args[0] & CLONE_THREAD ? "thread" : "process";
	case SYS_futex:
		return (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ? "wait" : "wake";
	case SYS_fcntl: case SYS_prctl: case SYS_kill: case SYS_mmap:
		snprintf(text, sizeof text, "%d", (int)args[number == SYS_prctl ? 0 : number == SYS_mmap ? 2 : 1]); /* command, option, signal, protection */
		return text;
	}
	return "";
}

static void enter(struct tracee *t, int number, const __u64 *args)
{
	static int epolls, listens, terms;
	if (!t->child && ((number == SYS_epoll_create1 && !epolls++) || (number == SYS_listen && !listens++) ||
			(number == SYS_kill && args[1] == SIGTERM && terms++ < 2)))
		next_phase();
	if (wanted.list) {
		fprintf(report, "%d:%d:%d:%s\n", phase, t->child, number, kind_of(t->tid, number, args));
		return;
	}
	if (number != wanted.number || t->child != wanted.child || phase != wanted.phase || strcmp(kind_of(t->tid, number, args), wanted.kind) || --wanted.use)
		return;
	t->failing = wanted.error;
	/* close(2) closes the descriptor even if it fails; other calls do nothing if they fail. */
	if (number != SYS_close)
		ptrace(PTRACE_POKEUSR, t->tid, 8 * ORIG_RAX, -1); /* fails, as all requests do, if usher is exiting */
}

static void leave(struct tracee *t)
{
	if (!t->failing)
		return;
	ptrace(PTRACE_POKEUSR, t->tid, 8 * RAX, -t->failing);
	t->failing = 0;
	fprintf(report, "injected\n");
	fflush(report);
}

/* stopped handles a stop of a tracee (ptrace(2)), and lets the tracee continue. */
static void stopped(struct tracee *t, int ws)
{
	int sig = WSTOPSIG(ws), event = ws >> 16;
	if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		ptrace(PTRACE_LISTEN, t->tid, 0, 0);
		return;
	}
	if (event == PTRACE_EVENT_EXEC) {
		if (t->child) {
			ptrace(PTRACE_DETACH, t->tid, 0, 0);
			t->tid = 0;
			return;
		}
		armed = 1;
	}
	if (event == PTRACE_EVENT_VFORK && !t->child)
		next_phase();
	if (event == 0 && sig == (SIGTRAP | 0x80)) {
		struct ptrace_syscall_info info;
		if (armed && ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, (unsigned long)&info) > 0) {
			if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
				enter(t, info.entry.nr, info.entry.args);
			else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
				leave(t);
		}
		sig = 0;
	}
	if (event)
		sig = 0;
	if (!t->child && (sig == SIGUSR1 || sig == SIGTERM))
		next_phase();
	ptrace(PTRACE_SYSCALL, t->tid, 0, sig);
}

static void loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 && close(fd) == 0, "lo");
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 99;
	report = fopen(argv[1], "ae");
	must(report != NULL, argv[1]);
	int pid1 = atoi(argv[2]), ws, release[2];
	wanted.list = !strcmp(argv[3], "list");
	if (!wanted.list)
		must(sscanf(argv[3], "%d:%d:%d:%31[^:]:%d:%d", &wanted.phase, &wanted.child, &wanted.number, wanted.kind, &wanted.use, &wanted.error) == 6, argv[3]);
	if (!strcmp(wanted.kind, "-"))
		*wanted.kind = 0;
	loopback_up();
	must(pipe2(release, O_CLOEXEC) == 0, "pipe");
	usher = syscall(SYS_clone, SIGCHLD | (pid1 ? CLONE_NEWPID | CLONE_NEWNS : 0), 0, 0, 0, 0);
	must(usher >= 0, "clone");
	if (!usher) {
		char c;
		if (pid1)
			must(mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0 && mount("proc", "/proc", "proc", 0, "") == 0, "/proc");
		must(read(release[0], &c, 1) == 1, "release");
		execvp(argv[4], argv + 4);
		return 98;
	}
	signal(SIGTERM, pass_on);
	signal(SIGUSR1, pass_on);
	must(ptrace(PTRACE_SEIZE, usher, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) == 0, "SEIZE");
	must(write(release[1], "", 1) == 1, "release");
	for (;;) {
		pid_t tid = waitpid(-1, &ws, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		must(tid > 0, "wait");
		if (WIFSTOPPED(ws)) {
			stopped(find(tid), ws);
			continue;
		}
		find(tid)->tid = 0;
		if (tid == usher)
			break;
	}
	int code = WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
	pid_t pid;
	while ((pid = waitpid(-1, &ws, __WALL | WNOHANG)) > 0)
		;
	if (pid == 0)
		fprintf(report, "left\n");
	fclose(report);
	return code;
}
