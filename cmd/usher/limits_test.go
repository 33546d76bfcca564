package main

import (
	byteorder "encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// If an app or a hook cannot be executed, the error names the cause. The error number of
// execve(2) alone does not show the cause.
func TestExecErrorsNameTheirCause(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	const machineAt = 18 // e_machine, elf(5)
	foreign, name := program[:4096], "aarch64"
	if byteorder.NativeEndian.Uint16(foreign[machineAt:]) == 183 {
		name = "x86_64"
	}
	byteorder.NativeEndian.PutUint16(foreign[machineAt:], map[string]uint16{"aarch64": 183, "x86_64": 62}[name])

	for text, want := range map[string]string{
		string(foreign):               "built for another processor (" + name + ")",
		"#!/no/bash\necho hi\n":       "/no/bash: no such file",
		"#!/bin/sh\r\necho hi\r\n":    `"/bin/sh\r": no such file (carriage return at the end of the line)`,
		"#!/no/\x1b[2J sk-secret\n":   `"/no/\x1b[2J": no such file`,
		"\x7fELFnot quite a program":  "", // execve(2) rejects it, so usher runs it with the shell, as execvp(3) does, and the shell prints an error
		"exit 5 # without a shebang ": "",
	} {
		app := filepath.Join(t.TempDir(), "app")
		writeProgram(t, app, text)
		r := launcher{}.usher(t, "--", app)
		code, log := r.code(), r.stderr.rest()
		if want == "" {
			assertNotPrinted(t, log, "usher:", "%.40q", text)
			continue
		}
		assert.Equal(t, 126, code, "%.40q", text)
		assertPrinted(t, log, "cannot run "+app+": "+want)
		assert.Len(t, r.stderr.all, 1, "one line:\n%s", log)

		r = launcher{}.usher(t, "--pre-start", app, "--", "true")
		assert.Equal(t, 125, r.code(), "%.40q", text)
		assertPrinted(t, r.stderr.rest(), want)
	}
}

// If the kernel kills the app for lack of memory, the log and the termination log say so.
func TestOutOfMemoryIsReported(t *testing.T) {
	g := limited{memory: 64 << 20}.cgroup(t)
	const limit = " (the container's limit is 64 MiB)"
	runLimited := func(args ...string) (r *process, code int, message string) {
		file := filepath.Join(t.TempDir(), "termination-log")
		require.NoError(t, os.WriteFile(file, nil, 0o644))
		r = launcher{}.start(t, g.argv(append([]string{binary(t), "--termination-log", file, "--"}, args...)...)...)
		code = r.code()
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return r, code, string(text)
	}

	const hungry = "tail /dev/zero" // tail keeps its whole input in memory
	r, code, message := runLimited(strings.Fields(hungry)...)
	log := r.stderr.rest()
	assert.Equal(t, 137, code, log)
	assert.Equal(t, "usher: error: tail was killed by SIGKILL: out of memory"+limit, log)
	assert.Equal(t, "tail was killed by SIGKILL: out of memory"+limit+"\n", message)

	// The kernel kills only tail, and the shell, its parent, then exits with 137.
	r, code, message = runLimited("sh", "-c", hungry+"; exit $?")
	assert.Equal(t, 137, code)
	want := "sh exited 137: the kernel killed 1 process for lack of memory" + limit
	assertPrinted(t, r.stderr.rest(), "usher: error: "+want)
	assert.Equal(t, want+"\n", message)

	r, code, message = runLimited("sh", "-c", hungry+"; exit 3")
	assert.Equal(t, 3, code)
	assertPrinted(t, r.stderr.rest(), "usher: warning: the kernel killed 1 process for lack of memory"+limit)
	assert.Empty(t, message)

	// Other failures are not reported as out of memory, although the kernel has killed
	// processes in this cgroup before.
	for _, end := range []string{"kill -9 $$", "exit 137", "exit 1"} {
		r, _, message = runLimited("sh", "-c", end)
		assert.Empty(t, r.stderr.rest(), end)
		assert.Empty(t, message, end)
	}
}

// In a container, /proc/self/cgroup may contain paths of the host. These do not exist in the
// container, but usher still finds the memory limit.
func TestDockerOutOfMemoryIsReported(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)
	for memory, limit := range map[string]string{"32m": "32 MiB", "20971520": "20 MiB"} {
		_, log, code := runContainer(t, "--memory", memory, "--memory-swap", memory, image, "--", "tail", "/dev/zero")
		assert.Equal(t, 137, code)
		assert.Equal(t, fmt.Sprintf("usher: error: tail was killed by SIGKILL: out of memory (the container's limit is %s)\n", limit), log)
	}
}

// goTrace matches the trace that the Go runtime prints when it ends the process itself.
var goTrace = regexp.MustCompile(`(?m)^(runtime: |fatal error: |panic: |goroutine \d)`)

// If the app starts so many processes or threads that the pids limit is used up, usher still
// runs, stops the app, and exits with the app's code. In most of the cases below, probes,
// hooks or health checks block as many of usher's threads as possible.
//
// In some cases a limit of 10 is too low for usher's own threads. Then usher does not start
// the app.
func TestAppTakesTheLastThread(t *testing.T) {
	slow := []string{mountFUSE(t, "slowfs", "500"), mountFUSE(t, "slowfs", "500"), mountFUSE(t, "slowfs", "500")}
	for j, limit := range []int{10, 20, 45, 100} {
		for i, c := range []struct {
			name   string
			flags  string
			each   string // a flag and its target, which the test passes twelve times
			health bool
			notify string // the value of NOTIFY_SOCKET
			unread bool   // stderr is full and never read
		}{
			{name: "plain"},
			{name: "grace", flags: "--grace 5s"},
			{name: "hooks", flags: "--grace 5s --drain http://127.0.0.1:1/ --drain file:///no/such --drain true --post-stop true"},
			{name: "unread log", flags: "--grace 5s --verbose --ready http://127.0.0.1:1/ --drain true", unread: true},
			{name: "health", flags: "--grace 5s --ready file:///", health: true},
			{name: "commands", flags: "--grace 5s --verbose", each: "--ready timeout=0.2s interval=10ms sh -c 'exit N'"},
			{name: "slow files", flags: "--grace 5s --verbose", each: "--ready timeout=0.2s interval=10ms file://SLOW/N"},
			{name: "slow commands", flags: "--grace 5s --verbose", each: "--ready timeout=0.2s interval=10ms SLOW/N"},
			{name: "slow socket", flags: "--grace 5s --ready file:/// --drain true", notify: slow[0] + "/socket"},
			{name: "slow files before", flags: "--grace 5s", each: "--wait optional=0.2s timeout=0.1s file://SLOW/N"},
		} {
			takes := []string{"threads", "processes"}[(i+j)%2]
			t.Run(fmt.Sprint(limit, " ", takes, " ", c.name), func(t *testing.T) {
				g := limited{pids: limit}.cgroup(t)
				args := append([]string{binary(t)}, strings.Fields(c.flags)...)
				for n := 0; n < 12 && c.each != ""; n++ {
					flag, target, _ := strings.Cut(c.each, " ")
					target = strings.NewReplacer("SLOW", slow[n%len(slow)], "N", fmt.Sprint(n)).Replace(target)
					args = append(args, flag, target)
				}
				address := freeAddress(t)
				if c.health {
					args = append(args, "--health", address)
				}
				argv := g.argv(append(args, "--", puppet(t), "greedy", takes)...)
				s := launcher{proc: true}
				if c.notify != "" {
					s.vars = []string{"NOTIFY_SOCKET=" + c.notify}
				}
				if c.unread {
					argv = append([]string{"/bin/sh", "-c", `exec "$@" 2>&3 3>&-`, "sh"}, argv...)
					s.files = []*os.File{fullPipe(t)}
				}
				r := s.start(t, argv...)
				defer time.AfterFunc(patience/2, func() { r.cmd.Process.Kill() }).Stop() // kill usher if it hangs
				if _, started := r.stdout.next(); !started {
					assert.Equal(t, 10, limit)
					assert.Equal(t, 125, r.code())
					if !c.unread {
						assert.Regexp(t, `^usher: error: usher needs \d+ threads and .*, the container's pids limit is 10$`, r.stderr.rest())
					}
					return
				}
				if strings.HasPrefix(c.each, "--ready") {
					for range 36 { // 36 attempts: about three for each of the twelve targets
						r.stderr.expect("usher: ready: ")
					}
				}
				if c.health {
					for range 4 {
						hammer(t, address, 60) // fewer than 64 (maxSilent), at which usher would close the oldest connections
					}
				}
				r.signal(syscall.SIGTERM)
				code, log := r.code(), r.stderr.rest()
				assert.Equal(t, 143, code, lastLines(log))
				assert.False(t, goTrace.MatchString(log), lastLines(log))
			})
		}
	}
}

// fullPipe returns the writing end of a pipe that is full and is never read.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	w := unread(t)
	fd := int(w.Fd()) // Fd sets the descriptor to blocking mode
	require.NoError(t, syscall.SetNonblock(fd, true))
	for err := error(nil); err == nil; {
		_, err = syscall.Write(fd, make([]byte, 4096))
	}
	require.NoError(t, syscall.SetNonblock(fd, false))
	return w
}

// hammer sends n requests at the same time, and waits until each connection is closed. At
// least one must get a response. On a busy machine usher may close the others without a
// response, because it has not read their requests within requestTimeout (15 s).
func hammer(t *testing.T, address string, n int) {
	t.Helper()
	var all sync.WaitGroup
	var responses atomic.Int32
	for range n {
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
			response, _ := io.ReadAll(conn)
			if strings.Contains(string(response), "200 OK") {
				responses.Add(1)
			}
		})
	}
	all.Wait()
	assert.Positive(t, responses.Load(), "number of responses")
}

// Before usher starts the app, it starts all threads that it may need, and at most one
// more. With a new version of Go the number of threads may change.
func TestThreadsAreMadeBeforeTheApp(t *testing.T) {
	needRoot(t)
	address := freeAddress(t)
	for flags, blocked := range map[string]int{
		"":                            1,
		"--verbose":                   2,
		"--grace 5s":                  2,
		"--grace 5s --drain true":     3,
		"--grace 5s --drain file:///": 4,
		"--health " + address:         3,
		"--health " + address + " --ready file:///": 5,
		"NOTIFY_SOCKET --ready file:///":            5,
	} {
		flags, notify := strings.CutPrefix(flags, "NOTIFY_SOCKET")
		l := launcher{proc: true}
		if notify {
			l.vars = []string{"NOTIFY_SOCKET=/no/such/socket"}
		}
		r := l.start(t, append(append([]string{binary(t)}, strings.Fields(flags)...), "--", "sh", "-c",
			`grep Threads /proc/$PPID/status; read line`)...)
		line := r.stdout.expect("Threads:")
		threads, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "Threads:")))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, threads, blocked+otherThreads, flags)
		// On a busy machine there may be one more thread. The runtime starts a thread if
		// none is idle, and a thread that is about to become idle does not count as idle.
		assert.LessOrEqual(t, threads, blocked+otherThreads+1, flags)
		r.in.Close()
		r.code()
	}
}

// Usher makes no thread while the app runs. The test compares the number of threads at the
// start with the number later. That is enough, because the runtime keeps idle threads.
func TestNoThreadIsMadeAfterTheStart(t *testing.T) {
	slow := []string{mountFUSE(t, "slowfs", "200"), mountFUSE(t, "slowfs", "200"), mountFUSE(t, "slowfs", "200")}
	for name, each := range map[string]string{
		"no target": "", "commands": "sh -c 'exit N'", "servers": "tcp://127.0.0.1:1", "names": "http://no-such-name.invalid/N",
		"slow files": "file://SLOW/N", "slow commands": "SLOW/N",
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			args := []string{binary(t), "--verbose", "--grace", "9s", "--health", address, "--drain", "false", "--post-stop", "true"}
			for i := 0; i < 12 && each != ""; i++ {
				target := strings.NewReplacer("SLOW", slow[i%len(slow)], "N", fmt.Sprint(i)).Replace(each)
				args = append(args, "--ready", "timeout=0.3s interval=10ms "+target)
			}
			r := launcher{proc: true}.start(t, append(args, "--", "sh", "-c",
				`trap 'exit 7' TERM; trap 'n=$((n+1))' USR1; cat /proc/$PPID/status; echo ready; while :; do read line; done`)...)
			before := r.stdout.expect("Threads:")
			r.stdout.expect("ready")
			for range 4 {
				hammer(t, address, 60)
				for range 100 {
					r.signal(syscall.SIGUSR1)
				}
				for i := 0; i < 36 && each != ""; i++ { // 36 attempts: about three for each target
					r.stderr.expect("usher: ready: ")
				}
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
			require.NoError(t, err)
			assert.Contains(t, string(status), before+"\n")
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 7, r.code(), r.stderr.rest())
		})
	}
}

// If the limit of descriptors is too low, usher prints one line and exits with 125, and the
// runtime prints no trace. Without flags the app runs if the limit is 16 or more.
func TestTooFewDescriptors(t *testing.T) {
	needRoot(t)
	// The processes must not inherit the descriptors that "go test" has passed to the test.
	require.NoError(t, unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC))
	refused := 0
	for limit := 1; limit <= 24; limit++ {
		r := launcher{}.start(t, "/bin/sh", "-c", `ulimit -n "$1" && exec "$0" -- true`, binary(t), fmt.Sprint(limit))
		code, log := r.code(), r.stderr.rest()
		if code == 0 {
			assert.Empty(t, log)
			continue
		}
		refused = limit
		assert.Equal(t, 125, code, "ulimit -n %d:\n%s", limit, log)
		assertPrintedMatch(t, log, fmt.Sprintf(`^usher: error: usher needs 10 file descriptors, the limit of %d leaves \d \(.*\)$`, limit))
	}
	assert.Less(t, refused, 16, "the highest limit at which usher does not run")

	// Some flags need more descriptors. At each limit, either usher runs the app and all its
	// probes and hooks, or it prints one line and runs none of them.
	for flags, needed := range map[string]int{
		"--health ADDRESS":                             12,
		"--pre-start true":                             14,
		"--pre-start file:///":                         11,
		"--grace 5s --post-stop true --health ADDRESS": 16,
		"--grace 5s --post-stop file:///":              11,
		"--ready true":                                 15, // with --ready usher uses NOTIFY_SOCKET
	} {
		for limit := 14; limit <= 24; limit++ {
			args := strings.Fields(strings.ReplaceAll(flags, "ADDRESS", freeAddress(t)) + " -- true")
			r := launcher{vars: []string{"NOTIFY_SOCKET=/no/such/socket"}}.start(t, append([]string{"/bin/sh", "-c", `ulimit -n "$1" && shift && exec "$0" "$@"`, binary(t), fmt.Sprint(limit)}, args...)...)
			code, log := r.code(), r.stderr.rest()
			if code == 0 {
				assertNotPrinted(t, log, "too many open files", "%s, ulimit -n %d", flags, limit)
				continue
			}
			assert.Equal(t, 125, code, "%s, ulimit -n %d:\n%s", flags, limit, log)
			assertPrintedMatch(t, log, fmt.Sprintf(`^usher: error: usher needs (10|%d) file descriptors, the limit of %d leaves \d+ \(.*\)$`, needed, limit))
		}
	}

	// Inherited descriptors count towards the limit too.
	r := launcher{}.start(t, "/bin/sh", "-c", `ulimit -n 20; exec 3</ 4</ 5</ 6</ 7</ 8</ 9</; exec "$0" -- true`, binary(t))
	assert.Equal(t, 125, r.code())
	assertPrinted(t, r.stderr.rest(), "usher needs 10 file descriptors")

	// The app inherits even a descriptor whose number is just below or above the limit.
	nofile := fmt.Sprint("limit=", unix.RLIMIT_NOFILE, ":20:20")
	for _, fd := range []string{"16", "17", "18", "19", "20", "40"} {
		r = launcher{inherit: []string{"dup=0:" + fd, nofile}}.start(t, binary(t), "--", "ls", "/proc/self/fd")
		r.stdout.expect(fd)
		assert.Zero(t, r.code(), r.stderr.rest())
	}
}

// If epoll_create1, eventfd2 or epoll_ctl fails in the Go runtime, the runtime ends the
// process with a trace. So usher makes these system calls itself first, and reports an error.
func TestSystemCallsOfTheRuntimeThatFail(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		skip(t, "needs strace")
	}
	for _, call := range []string{"epoll_create1", "eventfd2", "epoll_ctl"} {
		r := launcher{}.start(t, "strace", "-f", "-o", "/dev/null", "-e", "inject="+call+":error=ENFILE", binary(t), "--grace", "2s", "--", "true")
		code, log := r.code(), r.stderr.rest()
		assert.Equal(t, 125, code, "%s:\n%s", call, log)
		assert.Regexp(t, `^usher: error: usher cannot .*: too many open files in system$`, log)
	}
}

// If the pids limit is too low for usher itself, the text log, the JSON log and the
// termination log contain an error. If the limit is below 5, the runtime may end the
// process before it runs any code of usher.
func TestPidsLimitTooLow(t *testing.T) {
	for limit := 5; limit <= 6; limit++ {
		g := limited{pids: limit}.cgroup(t)
		reason := filepath.Join(t.TempDir(), "reason")
		require.NoError(t, os.WriteFile(reason, nil, 0o644))
		r := launcher{}.start(t, g.argv(binary(t), "--termination-log", reason, "--", "true")...)
		line := fmt.Sprintf("usher needs 6 threads and the app's process, the container's pids limit is %d", limit)
		code, log := r.code(), r.stderr.rest()
		assert.Equal(t, 125, code, log)
		assert.Equal(t, "usher: error: "+line, log)
		message, err := os.ReadFile(reason)
		require.NoError(t, err)
		assert.Equal(t, line+"\n", string(message))
		r = launcher{}.start(t, g.argv(binary(t), "--log", "json", "--", "true")...)
		assert.Equal(t, 125, r.code())
		assertPrinted(t, r.stderr.rest(), `"event":"limit_too_low"`)
	}
}

// If --pids-limit of docker run is too low for usher itself, usher prints an error. The test
// begins with 5, as TestPidsLimitTooLow does. Usher accepts 7, but the runtime may start one
// thread more than usher counts, so the app is only expected to run with 8.
func TestDockerPidsLimitTooLow(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)
	for _, limit := range []string{"5", "6"} {
		_, log, code := runContainer(t, "--pids-limit", limit, image, "--", "true")
		assert.Equal(t, 125, code, log)
		assert.Equal(t, "usher: error: usher needs 6 threads and the app's process, the container's pids limit is "+limit+"\n", log)
	}
	_, log, _ := runContainer(t, "--pids-limit", "7", image, "--", "true")
	assertNotPrinted(t, log, "the container's pids limit is")
	_, log, code := runContainer(t, "--pids-limit", "8", image, "--", "true")
	assert.Zero(t, code)
	assert.Empty(t, log)
}

// The Go runtime must not ask for huge pages for its own data, because they cost up to 2 MiB of
// memory. Without the GOMEMLIMIT that usher sets at its entry point (gomemlimit in
// signals/handlers.h), the runtime would ask for them when a garbage collection ends while a
// command is being started. So usher starts many commands here.
func TestRuntimeUsesNoHugePages(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return // gomemlimit is set only on these processors, at usher's own entry point
	}
	t.Parallel()
	args := []string{"--verbose", "--wait-timeout", "0"}
	for i := range 12 {
		args = append(args, "--wait", fmt.Sprintf("interval=10ms name=w%d false", i))
	}
	r := launcher{}.start(t, append([]string{binary(t)}, append(args, "--", "true")...)...)
	for range 1000 {
		r.stderr.expect(": attempt ")
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", r.pid()))
	require.NoError(t, err)
	assert.Contains(t, string(maps), "VmFlags: ")
	assert.NotRegexp(t, `VmFlags: .*\bhg\b`, string(maps)) // hg: MADV_HUGEPAGE (proc_pid_smaps(5))
}
