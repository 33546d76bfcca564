package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// puppetSource is what plays the apps, the bystanders and the launcher where it
// matters what a process was started with: neither Go nor a shell can, because
// both change it (signals, limits, doubled names in the environment) before
// their own first line.
//
//	launch OPTION=VALUE... -- COMMAND...   changes what a process inherits, then execvp(3)
//	state ...                              prints everything that it was started with
//	hear NAME [SIGNAL]                     prints each signal that comes, until SIGNAL or the end of stdin
//	plain NAME                             does nothing; each signal has its default action
//	daemon COMMAND...                      double-forks into a session of its own, then execvp(3)
//	chain                                  forks its successor in a new session and exits, for longer than a test takes
//	dodge                                  does so whenever a signal comes
//	crowd NUMBER                           that many processes that do nothing
//	lease FILE                             holds a write lease on FILE and ignores SIGTERM: an execve(2) of it blocks (fcntl(2))
//	stopall                                ignores SIGTERM and stops all other processes, again and again
//	flood NUMBER                           gives its parent that many children, and sends it HUP and QUIT without end
//	regroup COMMAND...                     moves into its parent's process group, then execvp(3)
//	deadfs DIRECTORY FLAG                  an empty FUSE file system, which no longer answers once the file FLAG exists
const puppetSource = `
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
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

/* The lines of /proc/self/status that tell of what was inherited. */
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

static void each(char *list, void (*f)(int))
{
	for (char *n = strtok(list, ","); n; n = strtok(NULL, ","))
		f(atoi(n));
}

static void ignore(int sig) { syscall(SYS_rt_sigaction, sig, (struct { void *h; long f; void *r; long m; }[]){{(void *)1, 0, 0, 0}}, 0, 8); }
static void block(int sig) { unsigned long m = 1UL << (sig - 1); syscall(SYS_rt_sigprocmask, SIG_BLOCK, &m, 0, 8); }
static void unopen(int fd) { close(fd); }

static int launch(int argc, char **argv)
{
	char **env = calloc(argc, sizeof *env), text[64];
	int vars = 0, fresh = 0, i = 2;
	if (!strcmp(argv[i], "fork=1")) { /* so that what is started leads neither its session nor its group */
		int ws, pid = fork();
		if (pid) {
			/* As PID 1 it reaps, else the orphans fill the machine. */
			while (wait(&ws) != pid)
				;
			return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
		}
		i++;
	}
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		char *key = argv[i], *value = strchr(key, '=');
		*value++ = 0;
		if (!strcmp(key, "ignore")) each(value, ignore);
		else if (!strcmp(key, "block")) each(value, block);
		else if (!strcmp(key, "close")) each(value, unopen);
		else if (!strcmp(key, "umask")) umask(strtol(value, 0, 8));
		else if (!strcmp(key, "nice")) setpriority(PRIO_PROCESS, 0, atoi(value));
		else if (!strcmp(key, "iopriority")) syscall(SYS_ioprio_set, 1, 0, atoi(value));
		else if (!strcmp(key, "slack")) prctl(PR_SET_TIMERSLACK, atoi(value));
		else if (!strcmp(key, "chdir")) { if (chdir(value)) return 99; }
		else if (!strcmp(key, "env")) fresh = 1, *value ? env[vars++] = value : 0;
		else if (!strcmp(key, "listen")) snprintf(text, sizeof text, "LISTEN_PID=%d", getpid()), fresh = 1, env[vars++] = text;
		else if (!strcmp(key, "rmdir")) { if (rmdir(value)) return 99; }
		else if (!strcmp(key, "nonblock")) fcntl(atoi(value), F_SETFL, fcntl(atoi(value), F_GETFL) | O_NONBLOCK);
		else if (!strcmp(key, "dup")) dup2(atoi(value), atoi(strchr(value, ':') + 1));
		else if (!strcmp(key, "oom")) {
			FILE *f = fopen("/proc/self/oom_score_adj", "we");
			if (!f || fprintf(f, "%s", value) < 0 || fclose(f)) return 99;
		} else if (!strcmp(key, "limit")) {
			int which;
			long long soft, hard;
			sscanf(value, "%d:%lld:%lld", &which, &soft, &hard);
			struct rlimit l = {soft, hard};
			if (setrlimit(which, &l)) return 99;
		} else return 98;
	}
	if (fresh)
		environ = env;
	execvp(argv[i + 1], argv + i + 1);
	return errno == ENOENT || errno == ENOTDIR ? 127 : 126;
}

static int hear(int argc, char **argv)
{
	int last = argc > 3 ? atoi(argv[3]) : 0;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	struct pollfd fds[] = {{signalfd(-1, &all, SFD_CLOEXEC), POLLIN, 0}, {0, POLLIN, 0}};
	dprintf(1, "%s ready %d\n", argv[2], getpid());
	for (;;) {
		struct signalfd_siginfo si;
		char c[256];
		poll(fds, 2, -1);
		/* Signals first: those that came before the end are told before it. */
		if (fds[0].revents) {
			if (read(fds[0].fd, &si, sizeof si) < 0 || si.ssi_signo == SIGCHLD)
				continue;
			dprintf(1, "%s got %d\n", argv[2], si.ssi_signo);
			if ((int)si.ssi_signo == last)
				return 0;
		} else if (fds[1].revents && read(0, c, sizeof c) <= 0) {
			dprintf(1, "%s lives\n", argv[2]);
			return 0;
		}
	}
}

static int lease(const char *path)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGIO, SIG_IGN); /* the kernel's request to give it back */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK))
		return 96;
	dprintf(1, "lease ready\n");
	for (;;)
		pause();
}

static int stopall(void)
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

static int deadfs(const char *dir, const char *flag)
{
	static char request[1 << 21];
	struct fuse_in_header *in = (void *)request;
	char options[100];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
	if (fd < 0 || mount("deadfs", dir, "fuse", 0, options))
		return 96;
	dprintf(1, "deadfs ready\n");
	while (read(fd, request, sizeof request) > 0) {
		struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536, .max_readahead = 65536};
		struct fuse_attr_out attr = {.attr = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 1}};
		if (in->opcode == FUSE_INIT)
			reply(fd, in, 0, &init, sizeof init);
		else if (access(flag, F_OK) == 0)
			continue;
		else if (in->opcode == FUSE_GETATTR)
			reply(fd, in, 0, &attr, sizeof attr);
		else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_INTERRUPT)
			reply(fd, in, in->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS, "", 0);
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
	if (!strcmp(role, "hear"))
		return hear(argc, argv);
	if (!strcmp(role, "plain")) {
		dprintf(1, "%s ready %d\n", argv[2], getpid());
		for (;;)
			pause();
	}
	if (!strcmp(role, "daemon")) {
		if (fork()) {
			wait(NULL); /* there is but one orphan, and it is there from now on */
			return 0;
		}
		setsid();
		if (fork())
			return 0;
		execvp(argv[2], argv + 2);
		return 127;
	}
	if (!strcmp(role, "lease"))
		return lease(argv[2]);
	if (!strcmp(role, "stopall"))
		return stopall();
	if (!strcmp(role, "deadfs"))
		return deadfs(argv[2], argv[3]);
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
	if (!strcmp(role, "chain") || !strcmp(role, "dodge")) {
		sigset_t all;
		time_t begun = time(NULL);
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		dprintf(1, "%s ready\n", role);
		while (time(NULL) - begun < 60) {
			if (*role == 'd')
				sigwaitinfo(&all, NULL);
			if (fork() > 0)
				_exit(0);
			setsid();
		}
	}
	return 97;
}
`

// puppets returns the path of the compiled puppetSource.
func puppets(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		skip(t, "needs a C compiler and its static libc")
	}
	path, err := compileOnce()
	require.NoError(t, err)
	return path
}

var compileOnce = sync.OnceValues(func() (string, error) {
	test, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(test), "built.test") // as for binary
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "puppet")
	compile := exec.Command("cc", "-static", "-O1", "-Wall", "-o", path, "-x", "c", "-")
	compile.Stdin = strings.NewReader(puppetSource)
	if out, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile the puppets: %v\n%s", err, out)
	}
	return path, nil
})

// scene is how a tree of processes is started in which the real binary has a
// part, as world starts the test binary. It is always in a PID namespace of its
// own, and in a process group: an usher that took others for its own would end
// this machine.
type scene struct {
	proc  bool     // with a /proc of its own
	tty   *os.File // the controlling terminal, and stdin, stdout and stderr
	env   []string
	files []*os.File // from descriptor 3 on
}

// start runs argv as PID 1, with $usher and $puppet in its environment.
func (s scene) start(t *testing.T, argv ...string) *running {
	t.Helper()
	needRoot(t)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "usher="+binary(t), "puppet="+puppets(t)), s.env...)
	cmd.ExtraFiles = s.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS,
		Setpgid: s.tty == nil}
	if s.proc {
		mounted := exec.Command("/bin/sh", append([]string{"-c", `mount -t proc proc /proc; exec "$@"`, "sh"}, argv...)...)
		cmd.Path, cmd.Args = mounted.Path, mounted.Args
	}
	r := &running{t: t, cmd: cmd}
	inR, inW, err := os.Pipe()
	require.NoError(t, err)
	var ends []*os.File
	r.stdout, ends = newReader(t, ends)
	r.stderr, ends = newReader(t, ends)
	r.in, cmd.Stdin, cmd.Stdout, cmd.Stderr = inW, inR, ends[0], ends[1]
	if s.tty != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty, s.tty, s.tty
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	}
	require.NoError(t, cmd.Start())
	for _, f := range append(ends, inR) {
		f.Close()
	}
	t.Cleanup(func() {
		inW.Close()
		cmd.Process.Kill()
		cmd.Process.Wait()
	})
	return r
}

// enter starts argv in the namespace of r, as docker exec and a container of the
// same pod do: its parent is outside.
func (r *running) enter(stdin *os.File, argv ...string) (*reader, *exec.Cmd) {
	r.t.Helper()
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(r.cmd.Process.Pid), "-p", "-m", "--"}, argv...)...)
	out, ends := newReader(r.t, nil)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, ends[0], ends[0], r.cmd.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	require.NoError(r.t, cmd.Start())
	ends[0].Close()
	return out, cmd
}

// pidIn is the number at the end of a line, a pid of the namespace.
func pidIn(t *testing.T, line string) string {
	t.Helper()
	pid := regexp.MustCompile(`\d+$`).FindString(line)
	require.NotEmpty(t, pid, line)
	return pid
}

// kill sends a signal by a pid of the namespace of r.
func (r *running) kill(sig, pid string) {
	r.t.Helper()
	_, cmd := r.enter(nil, "sh", "-c", "kill -"+sig+" "+pid)
	require.NoError(r.t, cmd.Wait())
}

// expectAll reads until there has been a line for each of texts, in any order,
// and returns those lines in the order of texts.
func (l *reader) expectAll(texts ...string) []string {
	l.t.Helper()
	found := make([]string, len(texts))
	for left := len(texts); left > 0; {
		line := l.expect("")
		for i, text := range texts {
			if found[i] == "" && strings.Contains(line, text) {
				found[i] = line
				left--
				break
			}
		}
	}
	return found
}
