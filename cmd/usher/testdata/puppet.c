/*
 * The puppet is an app, another process or a launcher in the tests of cmd/usher. It is
 * written in C because a Go program and a shell change inherited attributes (signals,
 * limits, duplicate environment variables) before they execute the first line of their
 * source. Its roles:
 *
 *   launch OPTION... -- COMMAND...   applies the options in order, then execvp(3) of COMMAND
 *   state ...                        prints its attributes: arguments, environment, limits, signals, descriptors, ...
 *   catch NAME [SIGNAL]              prints each signal that it gets; exits after SIGNAL or at the end of stdin
 *   pause NAME                       does nothing; all signals have their default action
 *   daemon COMMAND...                double-forks into a new session, then execvp(3) of COMMAND
 *   chain                            waits for the end of descriptor 3, then forks and exits; the child makes a new session
 *                                    and does the same, for 60 s
 *   chain-on-signal                  like chain, but it does not wait, and each process forks only when it gets a signal
 *   crowd NUMBER                     starts NUMBER processes that do nothing
 *   greedy threads|processes         starts threads or processes until that fails, prints "full", and starts more when it can
 *   lease FILE                       holds a write lease on FILE (fcntl(2)), so that execve(2) of FILE blocks; ignores SIGTERM
 *   stopall                          ignores SIGTERM and sends SIGSTOP to all other processes, again and again
 *   flood NUMBER                     starts NUMBER children of its parent, and keeps sending HUP and QUIT to its parent
 *   regroup COMMAND...               joins its parent's process group, then execvp(3) of COMMAND
 *   deadfs DIRECTORY FLAG            mounts an empty FUSE file system that replies to no request once the file FLAG exists
 *   slowfs DIRECTORY MS              mounts an empty FUSE file system that replies after MS milliseconds
 *   trace COMMAND...                 runs COMMAND and its descendants under ptrace(2), as strace -f does
 *
 * First of all, launch sets all signals to their default action, because a test may be
 * run by nohup, in the background of a shell or by make, which ignore some signals.
 * The options of launch:
 *
 *   fork=1                 (only as the first option) fork; the parent waits and exits with the child's status.
 *                          So COMMAND leads neither its session nor its process group.
 *   bind=DIR               bind-mount DIR on itself, so that readonly=DIR can remount it
 *   proc=DIR  dev=DIR      make DIR, and mount a new /proc or bind-mount /dev there
 *   readonly=DIR           remount DIR read-only
 *   chroot=DIR             chroot(2), and chdir(2) to the new root
 *   chdir=DIR  rmdir=DIR   chdir(2), rmdir(2)
 *   user=ID                become this user and group, without supplementary groups
 *   nonewprivs=1           set no_new_privs (prctl(2))
 *   forbid=ERRNO           make the system calls that strict seccomp profiles forbid fail with ERRNO
 *   hang=CALL              make one system call, given by number, never return
 *   ignore=N,...           ignore signals
 *   block=N,...            block signals
 *   close=N,...            close descriptors
 *   dup=FROM:TO            dup2(2)
 *   nonblock=FD            set O_NONBLOCK
 *   limit=N:SOFT:HARD      setrlimit(2)
 *   umask=OCTAL  nice=N  iopriority=N  slack=NANOSECONDS  oom=N
 *   nohugepages=1          use no transparent huge pages (prctl(2), PR_SET_THP_DISABLE)
 *   nodeathsignal=1        the parent's exit sends no signal: clear PR_SET_PDEATHSIG, because execve(2) keeps it
 *   env=NAME=VALUE         if env= is given, the environment of COMMAND has only these variables, in this
 *                          order, with duplicates; env= alone makes it empty
 *   listen=1               add LISTEN_PID, with the pid of this process, to the environment of env=
 *   traceme=1              ask the parent to trace this process (ptrace(2)): COMMAND stops at its start
 *   exit=CODE              exit with CODE
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void quote(FILE *out, const char *what, const char *s)
{
	fprintf(out, "%s \"", what);
	for (; *s; s++)
		if (*s > ' ' && *s < 127 && *s != '\\' && *s != '"')
			fputc(*s, out);
		else
			fprintf(out, "\\x%02x", (unsigned char)*s);
	fprintf(out, "\"\n");
}

static void copy(FILE *out, const char *path)
{
	char line[4096];
	FILE *in = fopen(path, "re");
	while (in && fgets(line, sizeof line, in))
		fprintf(out, "%s: %s\n", path, strtok(line, "\n"));
	if (in)
		fclose(in);
}

/* status prints the lines of /proc/self/status about attributes that execve(2) keeps. */
static void status(FILE *out)
{
	static const char *keys[] = {"Uid", "Gid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Mems_allowed", "THP_enabled"};
	char line[4096];
	FILE *in = fopen("/proc/self/status", "re");
	while (in && fgets(line, sizeof line, in)) {
		char *colon = strchr(line, ':');
		for (size_t i = 0; colon && i < sizeof keys / sizeof *keys; i++)
			if (strlen(keys[i]) == (size_t)(colon - line) && !strncmp(line, keys[i], colon - line))
				fprintf(out, "%s\n", strtok(line, "\n"));
	}
	if (in)
		fclose(in);
}

static void links(FILE *out, const char *dir, int numbers)
{
	char path[512], target[4096];
	struct dirent **names;
	int n = scandir(dir, &names, 0, versionsort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
		ssize_t len = readlink(path, target, sizeof target - 1);
		if (len < 0) /* "." and "..", and the directory that was read */
			continue;
		target[len] = 0;
		fprintf(out, "%s -> %s", path, target);
		int fd = atoi(names[i]->d_name);
		if (numbers)
			fprintf(out, " F_GETFD %d F_GETFL %o", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
		fprintf(out, "\n");
	}
}

static int state(int argc, char **argv)
{
	char *text, self[64], cwd[4096];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "own pid %d\nown ppid %d\nown pgid %d\n", getpid(), getppid(), getpgid(0));
	char name[32];
	for (int i = 0; i < argc; i++) {
		snprintf(name, sizeof name, "arg %d", i);
		quote(out, name, argv[i]);
	}
	quote(out, "executed as", (char *)getauxval(AT_EXECFN));
	snprintf(self, sizeof self, "LISTEN_PID=%d", getpid());
	for (int i = 0; environ[i]; i++) {
		snprintf(name, sizeof name, "env %d", i);
		quote(out, name, strcmp(environ[i], self) ? environ[i] : "LISTEN_PID=its own");
	}
	quote(out, "cwd", getcwd(cwd, sizeof cwd) ? cwd : "?");
	mode_t mask = umask(0);
	fprintf(out, "umask %o\n", mask);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit l;
		getrlimit(i, &l);
		fprintf(out, "limit %d %lld %lld\n", i, (long long)l.rlim_cur, (long long)l.rlim_max);
	}
	fprintf(out, "nice %d\n", getpriority(PRIO_PROCESS, 0));
	fprintf(out, "io priority %ld\n", syscall(SYS_ioprio_get, 1, 0));
	fprintf(out, "scheduler %d\n", sched_getscheduler(0));
	fprintf(out, "personality %x\n", personality(0xffffffff));
	fprintf(out, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
	fprintf(out, "securebits %d\n", prctl(PR_GET_SECUREBITS));
	fprintf(out, "timer slack %d\n", prctl(PR_GET_TIMERSLACK));
	int subreaper = -1, death = -1;
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	prctl(PR_GET_PDEATHSIG, &death);
	fprintf(out, "subreaper %d\nparent death signal %d\n", subreaper, death);
	copy(out, "/proc/self/oom_score_adj");
	copy(out, "/proc/self/coredump_filter");
	copy(out, "/proc/self/cgroup");
	copy(out, "/proc/self/comm");
	status(out);
	fprintf(out, "session %d\n", getsid(0));
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY);
	fprintf(out, "terminal %s\n", tty < 0 ? "none" : tcgetpgrp(tty) == getpgid(0) ? "in its foreground" : "in its background");
	close(tty);
	links(out, "/proc/self/fd", 1);
	fprintf(out, "stdin at %ld\n", (long)lseek(0, 0, SEEK_CUR));
	links(out, "/proc/self/ns", 0);

	fclose(out);
	const char *to = getenv("REPORT");
	return write(to ? atoi(to) : 1, text, size) != (ssize_t)size;
}

static const char *option; /* the option that launch applies, for the error message */

/* must ends the program if an option could not be applied. */
static void must(int ok)
{
	if (ok)
		return;
	fprintf(stderr, "puppet: launch %s: %s\n", option, strerror(errno));
	exit(99);
}

static void each(char *list, void (*f)(int))
{
	for (char *n = strtok(list, ","); n; n = strtok(NULL, ","))
		f(atoi(n));
}

/* handle and block use system calls, because the C library refuses the two signals that it uses itself. */
static void handle(int sig, void *action) { syscall(SYS_rt_sigaction, sig, (struct { void *h; long f; void *r; long m; }[]){{action, 0, 0, 0}}, 0, 8); }
static void ignore(int sig) { handle(sig, (void *)SIG_IGN); }
static void block(int sig) { unsigned long m = 1UL << (sig - 1); syscall(SYS_rt_sigprocmask, SIG_BLOCK, &m, 0, 8); }
static void unopen(int fd) { close(fd); }

/* mount_on makes the directory dir, and mounts source there. */
static void mount_on(const char *source, const char *dir, const char *type, unsigned long flags)
{
	mkdir(dir, 0755);
	must(mount(source, dir, type, flags, "") == 0);
}

/*
 * The system calls that the seccomp profiles of container runtimes forbid, and newer
 * system calls. If a newer call fails, a program must use an older call.
 */
static const int forbidden[] = {
	SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pidfd_getfd, SYS_ptrace, SYS_process_vm_readv,
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
	SYS_prlimit64, SYS_setrlimit, SYS_setpriority, SYS_sched_setaffinity, SYS_sched_setscheduler,
	SYS_clone3, SYS_close_range, SYS_openat2, SYS_faccessat2, SYS_statx, SYS_epoll_pwait2, SYS_execveat,
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd, SYS_memfd_create,
	SYS_rseq, SYS_membarrier, SYS_mbind, SYS_set_mempolicy, SYS_bpf, SYS_perf_event_open,
	SYS_keyctl, SYS_add_key, SYS_request_key, SYS_syslog, SYS_acct, SYS_reboot, SYS_personality,
	SYS_signalfd4, SYS_timerfd_create, SYS_inotify_init1, SYS_fanotify_init, SYS_splice, SYS_copy_file_range,
	SYS_sendfile, SYS_waitid, SYS_landlock_create_ruleset, SYS_capset, SYS_rt_sigqueueinfo,
};

/* filter sets the action of seccomp(2) for some system calls. With SECCOMP_FILTER_FLAG_NEW_LISTENER it returns the listener. */
static int filter(const int *calls, size_t n, unsigned int action, unsigned int flags)
{
	struct sock_filter code[n + 3];
	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++)
		code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], n - i, 0);
	code[n + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	struct sock_fprog program = {n + 3, code};
	int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	must(listener >= 0);
	return listener;
}

static int launch(int argc, char **argv)
{
	char **env = calloc(argc, sizeof *env), text[64];
	int vars = 0, fresh = 0, i = 2;
	for (int sig = 1; sig <= 64; sig++)
		handle(sig, (void *)SIG_DFL);
	if (!strcmp(argv[i], "fork=1")) {
		int ws, pid = fork();
		if (pid) {
			/* As PID 1 the parent reaps orphans, so that zombies do not fill the process table. */
			while (wait(&ws) != pid)
				;
			return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
		}
		i++;
	}
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		option = strdup(argv[i]);
		char *key = argv[i], *value = strchr(key, '=');
		*value++ = 0;
		int number = atoi(value);
		if (!strcmp(key, "bind")) must(mount(value, value, "", MS_BIND, "") == 0);
		else if (!strcmp(key, "proc")) mount_on("proc", value, "proc", 0);
		else if (!strcmp(key, "dev")) mount_on("/dev", value, "", MS_BIND);
		else if (!strcmp(key, "readonly")) must(mount("", value, "", MS_BIND | MS_REMOUNT | MS_RDONLY, "") == 0);
		else if (!strcmp(key, "chroot")) must(chroot(value) == 0 && chdir("/") == 0);
		else if (!strcmp(key, "chdir")) must(chdir(value) == 0);
		else if (!strcmp(key, "rmdir")) must(rmdir(value) == 0);
		else if (!strcmp(key, "user")) must(setgroups(0, NULL) == 0 && setgid(number) == 0 && setuid(number) == 0);
		else if (!strcmp(key, "nonewprivs")) must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		else if (!strcmp(key, "forbid")) {
			must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
			filter(forbidden, sizeof forbidden / sizeof *forbidden, SECCOMP_RET_ERRNO | number, 0);
		} else if (!strcmp(key, "hang")) {
			/* The call never returns: it waits for a reply by the listener, which COMMAND inherits and never reads. */
			int listener = filter(&number, 1, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
			must(fcntl(listener, F_SETFD, 0) == 0);
		} else if (!strcmp(key, "ignore")) each(value, ignore);
		else if (!strcmp(key, "block")) each(value, block);
		else if (!strcmp(key, "close")) each(value, unopen);
		else if (!strcmp(key, "dup")) must(dup2(number, atoi(strchr(value, ':') + 1)) >= 0);
		else if (!strcmp(key, "nonblock")) must(fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK) == 0);
		else if (!strcmp(key, "limit")) {
			int which;
			long long soft, hard;
			sscanf(value, "%d:%lld:%lld", &which, &soft, &hard);
			struct rlimit l = {soft, hard};
			must(setrlimit(which, &l) == 0);
		} else if (!strcmp(key, "umask")) umask(strtol(value, 0, 8));
		else if (!strcmp(key, "nice")) must(setpriority(PRIO_PROCESS, 0, number) == 0);
		else if (!strcmp(key, "iopriority")) must(syscall(SYS_ioprio_set, 1, 0, number) == 0);
		else if (!strcmp(key, "slack")) must(prctl(PR_SET_TIMERSLACK, number) == 0);
		else if (!strcmp(key, "oom")) {
			FILE *f = fopen("/proc/self/oom_score_adj", "we");
			must(f && fprintf(f, "%s", value) > 0 && fclose(f) == 0);
		} else if (!strcmp(key, "nohugepages")) must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
		else if (!strcmp(key, "nodeathsignal")) must(prctl(PR_SET_PDEATHSIG, 0) == 0);
		else if (!strcmp(key, "env")) fresh = 1, *value ? env[vars++] = value : 0;
		else if (!strcmp(key, "listen")) snprintf(text, sizeof text, "LISTEN_PID=%d", getpid()), fresh = 1, env[vars++] = text;
		else if (!strcmp(key, "traceme")) must(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
		else if (!strcmp(key, "exit")) _exit(number);
		else errno = EINVAL, must(0);
	}
	if (fresh)
		environ = env;
	execvp(argv[i + 1], argv + i + 1);
	return errno == ENOENT || errno == ENOTDIR ? 127 : 126;
}

/* trace returns the exit status of the command once all processes have exited. */
static int trace(char **argv)
{
	static char known[1 << 22]; /* by pid; 1 if the process has been stopped before */
	int ws, pid, code = 0, exited = 0, first = fork();
	if (!first) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execvp(*argv, argv);
		_exit(127);
	}
	while ((pid = waitpid(-1, &ws, __WALL)) > 0) {
		if (!WIFSTOPPED(ws)) {
			exited++;
			if (pid == first)
				code = WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
			continue;
		}
		int sig = WSTOPSIG(ws);
		if (!known[pid]) { /* the kernel stops each process at its start */
			known[pid] = 1;
			sig = 0;
			if (pid == first)
				ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE);
		} else if (sig == SIGTRAP) /* an event of the options above, or the end of an execve(2) */
			sig = 0;
		ptrace(PTRACE_CONT, pid, 0, sig); /* fails if the process has been killed meanwhile */
	}
	printf("trace: %d processes have exited\n", exited);
	return code;
}

static int catch(int argc, char **argv)
{
	int last = argc > 3 ? atoi(argv[3]) : 0;
	/* Use system calls, because the C library excludes the two signals that it uses itself. */
	unsigned long all = -1;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof all);
	struct pollfd fds[] = {{syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC), POLLIN, 0}, {0, POLLIN, 0}};
	dprintf(1, "%s ready %d\n", argv[2], getpid());
	for (;;) {
		struct signalfd_siginfo si;
		char c[256];
		poll(fds, 2, -1);
		/* Read signals first, so that a signal sent before the end of stdin is printed before "alive". */
		if (fds[0].revents) {
			if (read(fds[0].fd, &si, sizeof si) < 0 || si.ssi_signo == SIGCHLD)
				continue;
			dprintf(1, "%s got %d\n", argv[2], si.ssi_signo);
			if ((int)si.ssi_signo == last)
				return 0;
		} else if (fds[1].revents && read(0, c, sizeof c) <= 0) {
			dprintf(1, "%s alive\n", argv[2]);
			return 0;
		}
	}
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void greedy(int threads)
{
	int printed = 0;
	pthread_t thread;
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (;;) {
		int failed = threads ? pthread_create(&thread, &small, idle, NULL) != 0 : fork() < 0;
		if (failed && !printed++)
			dprintf(1, "full\n");
	}
}

static int lease(const char *path)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGIO, SIG_IGN); /* the kernel sends it to the holder if the lease must be released */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK))
		return 96;
	dprintf(1, "lease ready\n");
	for (;;)
		pause();
}

static void stopall(void)
{
	signal(SIGTERM, SIG_IGN);
	dprintf(1, "stopall ready\n");
	for (;;) {
		kill(-1, SIGSTOP);
		usleep(50);
	}
}

static void reply(int fd, struct fuse_in_header *in, int error, const void *data, size_t size)
{
	char out[256];
	struct fuse_out_header head = {sizeof head + size, error, in->unique};
	memcpy(out, &head, sizeof head);
	memcpy(out + sizeof head, data, size);
	if (write(fd, out, sizeof head + size) < 0)
		_exit(95);
}

static int fuse(const char *dir, const char *flag, int ms)
{
	static char request[1 << 21];
	struct fuse_in_header *in = (void *)request;
	char options[100];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
	if (fd < 0 || mount("puppet", dir, "fuse", 0, options))
		return 96;
	dprintf(1, "fuse ready\n");
	signal(SIGCHLD, SIG_IGN);
	while (read(fd, request, sizeof request) > 0) {
		struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536, .max_readahead = 65536};
		struct fuse_attr_out attr = {.attr = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 1}};
		if (in->opcode == FUSE_INIT)
			reply(fd, in, 0, &init, sizeof init);
		else if (flag && access(flag, F_OK) == 0)
			continue;
		else if (ms && fork())
			continue;
		else if (ms && usleep(ms * 1000))
			_exit(94);
		else if (in->opcode == FUSE_GETATTR)
			reply(fd, in, 0, &attr, sizeof attr);
		else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_INTERRUPT)
			reply(fd, in, in->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS, "", 0);
		if (ms && in->opcode != FUSE_INIT)
			_exit(0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";
	if (!strcmp(role, "launch"))
		return launch(argc, argv);
	if (!strcmp(role, "state"))
		return state(argc, argv);
	if (!strcmp(role, "catch"))
		return catch(argc, argv);
	if (!strcmp(role, "pause")) {
		dprintf(1, "%s ready %d\n", argv[2], getpid());
		for (;;)
			pause();
	}
	if (!strcmp(role, "daemon")) {
		if (fork()) {
			wait(NULL); /* so that the grandchild is already an orphan when this process exits */
			return 0;
		}
		setsid();
		if (fork())
			return 0;
		execvp(argv[2], argv + 2);
		return 127;
	}
	if (!strcmp(role, "trace"))
		return trace(argv + 2);
	if (!strcmp(role, "greedy"))
		greedy(!strcmp(argv[2], "threads"));
	if (!strcmp(role, "lease"))
		return lease(argv[2]);
	if (!strcmp(role, "stopall"))
		stopall();
	if (!strcmp(role, "deadfs"))
		return fuse(argv[2], argv[3], 0);
	if (!strcmp(role, "slowfs"))
		return fuse(argv[2], NULL, atoi(argv[3]));
	if (!strcmp(role, "regroup")) {
		setpgid(0, getpgid(getppid()));
		execvp(argv[2], argv + 2);
		return 127;
	}
	if (!strcmp(role, "crowd")) {
		for (int i = atoi(argv[2]); i > 0 && fork(); i--)
			if (i == 1)
				dprintf(1, "crowd ready\n");
		for (;;)
			pause();
	}
	if (!strcmp(role, "flood")) {
		pid_t parent = getppid();
		for (int sig = 1; sig <= SIGRTMAX; sig++)
			if (sig != SIGTERM && sig != SIGINT && sig != SIGRTMIN + 3 && sig != SIGCHLD)
				signal(sig, SIG_IGN);
		for (int i = atoi(argv[2]); i > 0; i--)
			if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0)
				for (;;)
					pause();
		if (fork() == 0)
			for (;;) {
				kill(parent, SIGHUP);
				kill(parent, SIGQUIT);
			}
		dprintf(1, "flood ready\n");
		for (;;)
			pause();
	}
	if (!strcmp(role, "chain") || !strcmp(role, "chain-on-signal")) {
		sigset_t all;
		char c;
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		dprintf(1, "%s ready\n", role);
		if (!strcmp(role, "chain")) {
			while (read(3, &c, 1) > 0)
				;
			dprintf(1, "chain begins\n");
		}
		time_t begun = time(NULL);
		while (time(NULL) - begun < 60) {
			if (!strcmp(role, "chain-on-signal"))
				sigwaitinfo(&all, NULL);
			if (fork() > 0)
				_exit(0);
			setsid();
		}
	}
	return 97;
}
