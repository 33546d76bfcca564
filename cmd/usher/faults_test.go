package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In each run, one system call of usher fails with an errno that its manual page lists.
// testdata/inject.c makes the call fail; faultstable_test.go lists the calls and the errnos.
// The method problems checks what usher must do whichever call fails. Only the faults in
// faultsOfTheRuntime may end usher with a trace. "make test" tries some of the faults that
// allFaults returns, "make faults" tries all of them.
func TestFaults(t *testing.T) {
	needRoot(t)
	inject(t)
	var faults []fault
	for _, pid1 := range []bool{true, false} {
		sites := listSites(t, pid1)
		if pattern := os.Getenv("FAULTS"); pattern != "" {
			faults = append(faults, matching(allFaults(sites, pid1), pattern)...)
		} else {
			faults = append(faults, someFaults(sites, pid1)...)
		}
	}
	results := make([]faultRun, len(faults))
	t.Run("runs", func(t *testing.T) {
		for i, f := range faults {
			t.Run(f.String(), func(t *testing.T) {
				t.Parallel()
				results[i] = runWithFault(t, f.pid1, f.spec())
				assert.Empty(t, results[i].problems(f), "%v:\n%s", f, lastLines(results[i].log))
			})
		}
	})
	injected := 0
	for _, r := range results {
		if r.injected() {
			injected++
		}
	}
	t.Logf("%d of %d system calls failed as planned; the others were not made in their run", injected, len(faults))
	if os.Getenv("FAULTS") == "" {
		assert.Greater(t, injected, len(faults)*3/4, "the phases of the runs differ too much from those of listSites")
	}
}

// faultRun is one run of usher under testdata/inject.c.
type faultRun struct {
	report string // the content of the file that inject has written
	log    string // the output of usher, the app and the hooks
	code   int
}

func (r faultRun) injected() bool { return strings.Contains(r.report, "injected") }

var compileInject = built("inject", func(path string) *exec.Cmd {
	return exec.Command("cc", "-static", "-O1", "-Wall", "-Werror", "-o", path, "-x", "c", "testdata/inject.c")
})

// inject returns the path of the compiled testdata/inject.c.
func inject(t testing.TB) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		skip(t, "testdata/inject.c knows the registers of amd64 only")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		skip(t, "needs a C compiler and its static libc")
	}
	path, err := compileInject()
	require.NoError(t, err)
	return path
}

// faultApp is the script of the app. On SIGUSR1 it requests /readyz. It starts a daemon,
// which becomes a leftover when the app exits.
const faultApp = `
say() { echo "app: $@" >"$OUT"; }
health() {
	for i in 1 2 3; do
		$usher --probe 'timeout=20s http://127.0.0.1:8080/readyz' && say health ok && return
	done
	say health failed
}
trap 'say stopped; exit 7' TERM
trap health USR1
$puppet daemon sleep 1000000
say ready
while :; do read line; done
`

// runWithFault runs the whole timeline once: wait, pre-start, start, ready, post-start, a
// forwarded signal and a request to --health, drain, stop, leftovers and post-stop. The
// output of usher, the app and the hooks goes to the FIFO out. spec is the fault for inject
// (fault.spec), or "list" for none. Because of a fault, usher may exit early.
func runWithFault(t *testing.T, pid1 bool, spec string) faultRun {
	t.Helper()
	dir := t.TempDir()
	report, out, socket := filepath.Join(dir, "report"), filepath.Join(dir, "out"), filepath.Join(dir, "notify")
	require.NoError(t, syscall.Mkfifo(out, 0o600))
	r, err := os.OpenFile(out, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)
	w, err := os.OpenFile(out, os.O_WRONLY, 0)
	require.NoError(t, err)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer manager.Close()

	say := func(name string) string { return fmt.Sprintf("sh -c 'echo output; echo hook: %s >%s'", name, out) }
	p := launcher{proc: true, net: true, stdout: w, merged: true,
		vars: []string{"OUT=" + out, "usher=" + binary(t), "puppet=" + puppet(t), "NOTIFY_SOCKET=" + socket},
	}.start(t, inject(t), report, map[bool]string{true: "1", false: "0"}[pid1], spec,
		binary(t), "--verbose", "--grace", "10s", "--health", "127.0.0.1:8080",
		"--wait", "tcp://127.0.0.1:8080", "--wait", "http://127.0.0.1:8080/livez", "--wait", "file:///etc/passwd", "--wait", say("wait"),
		"--pre-start", say("pre-start"),
		"--ready", "http://127.0.0.1:8080/livez", "--ready", "file:///etc/passwd",
		"--post-start", say("post-start"),
		"--drain-delay", "1ms", "--drain", say("drain"), "--drain-idle", "1ms",
		"--post-stop", say("post-stop"),
		"--", "sh", "-c", faultApp)
	w.Close()
	lines := readLines(t, r)
	// await reads lines until the pattern matches, or until the end of the output.
	await := func(pattern string) {
		for re := regexp.MustCompile(pattern); !re.MatchString(lines.text()); {
			if _, ok := lines.next(); !ok {
				return
			}
		}
	}
	await("app: ready")
	await("hook: post-start")
	syscall.Kill(p.pid(), syscall.SIGUSR1)
	await("app: health|cannot send SIGUSR1")
	syscall.Kill(p.pid(), syscall.SIGTERM)
	log, code := lines.rest(), p.code()
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	return faultRun{string(text), log, code}
}

// anyTrace matches the output of the Go runtime when the runtime ends the process.
var anyTrace = regexp.MustCompile(`(?m)^(runtime: |fatal error: |panic: |goroutine \d|SIG[A-Z]+: |unexpected fault).*`)

// problems returns the promises that usher has broken in this run, one text for each. If the
// call that failed was a write to stderr, lines may be missing from the log.
func (r faultRun) problems(f fault) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	has := func(text string) bool { return strings.Contains(r.log, text) }
	noLog := f.call.name == "write" && f.kind == "std"
	reported := func(phase string) bool {
		return noLog || regexp.MustCompile(`(?m)^usher: (warning|error): `+phase+`: `).MatchString(r.log)
	}

	trace := anyTrace.FindString(r.log)
	if want := f.trace(); want != nil && r.injected() {
		if !want.MatchString(trace) || r.code != 2 || has("app: ready") {
			bad("exit code %d and %q, although faultsOfTheRuntime expects 2 and %v", r.code, trace, want)
		}
		return problems
	}
	if trace != "" {
		bad("the Go runtime has ended usher: %s", trace)
		return problems
	}
	if strings.Contains(r.report, "left") && !has("warning: usher is not PID 1, and cannot become a subreaper") {
		bad("processes are alive after usher has exited")
	}
	if f.phase >= phaseWait && !has("hook: post-stop") && !reported("post-stop") {
		bad("the post-stop hook has not run")
	}
	for _, phase := range []string{"pre-start", "post-start", "drain", "post-stop"} {
		if has("hook: "+phase) && !has("usher: "+phase+" sh| output") && !noLog {
			bad("the output of the %s hook is not in the log", phase)
		}
	}
	if !has("app: ready") {
		if r.code < 124 || r.code > 127 {
			bad("exit code %d, although the app has not run", r.code)
		}
		if n := strings.Count(r.log, "usher: error: "); n != 1 && !noLog {
			bad("%d lines with an error, although the app has not run", n)
		}
		return problems
	}

	code, stopped := 7, has("app: stopped")
	if has("error: stop: cannot send SIGTERM to sh") {
		code, stopped = 137, true // usher kills the app at the deadline
	}
	if !has("hook: post-start") {
		if !reported("post-start") {
			bad("the post-start hook has not run")
		}
		if code == 7 {
			code = 125
		}
	} else {
		if !has("app: health ok") && !has("cannot send SIGUSR1 to sh") {
			bad("--health has not answered")
		}
		if !has("hook: drain") && !reported("drain") {
			bad("the drain hook has not run")
		}
	}
	if !stopped {
		bad("the app has not got its stop signal")
	}
	if r.code != code {
		bad("exit code %d, not %d", r.code, code)
	}
	return problems
}
