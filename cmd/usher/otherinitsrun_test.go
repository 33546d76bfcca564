package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// initRun is one run of a script under one init.
type initRun struct {
	*process
	s        *initScript
	init     string // the init's command line
	dir      string
	app      int // the app's pid in the PID namespace of the test
	observed []string
	sent     []syscall.Signal
}

// run runs the script under an init, and returns what was observed.
func (s *initScript) run(t *testing.T, init []string) []string {
	t.Helper()
	r := &initRun{s: s, init: strings.Join(init, " "), dir: t.TempDir()}
	if strings.HasPrefix(s.app[0], "$dir") {
		writeCommands(t, r.dir)
	}
	argv := slices.Clone(init)
	for _, word := range s.app {
		argv = append(argv, strings.NewReplacer("$puppet", puppet(t), "$dir", r.dir).Replace(word))
	}
	if s.below { // PID 1 is a shell that runs the init, prints the init's exit code, and exits when stdin ends
		argv = append([]string{"sh", "-c", `"$@"; echo "init exited $?"; read line; exit 0`, "sh"}, argv...)
	}
	// All processes of the run inherit two descriptors. Descriptor 3 is the reading end of a
	// pipe, from which the app's children read. They get neither data nor an end of file until
	// the test closes the writing end (the variable end). Descriptor 4 is the writing end of a
	// named pipe (the variable own), so own.isHeld reports whether one of the processes is
	// still running.
	stdin, end := pending(t)
	own := hold(t)
	writer, err := os.OpenFile(own.path, os.O_WRONLY, 0)
	require.NoError(t, err)
	l := launcher{proc: true, files: []*os.File{stdin, writer}, inherit: append(slices.Clone(s.launch), "nodeathsignal=1")}
	var ptm *os.File
	if s.tty {
		ptm, l.tty = openPTY(t)
		typed(t, ptm, "go\n")
	}
	r.process = l.start(t, argv...)
	writer.Close()
	switch {
	case s.below:
		r.belowPID1(end)
	case s.state && s.tty:
		l.tty.Close()
		r.state(readLines(t, ptm))
	case s.state:
		r.state(r.stdout)
	default:
		r.signals(end)
	}
	stderr := r.stderr.rest()
	if len(r.s.children()) > 0 && !s.below { // a child may exit before or after the app, so usher may or may not warn of running processes; that line does not count
		stderr = regexp.MustCompile(`(?m)^usher: warning: \S+ exited and left \d+ process.*$`).ReplaceAllString(stderr, "")
	}
	// catatonit checks with kill(2) that the app was spawned. If SIGCHLD is ignored, an app that
	// exits at once may be gone by then. That line does not count either.
	stderr = regexp.MustCompile(`(?m)^ERROR \(catatonit:1\): self-check that pid1 \(\d+\) was spawned failed: No such process$`).ReplaceAllString(stderr, "")
	if strings.TrimSpace(stderr) != "" {
		r.note("prints to stderr")
	}
	if own.isHeld() {
		r.note("a process still runs")
	}
	return r.observed
}

// writeCommands makes the files in $dir that the table commands (otherinitsgen_test.go) names.
func writeCommands(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{"plain": "x", "orphaned": "#!/no/such/interpreter\n", "windows": "#!/bin/sh\r\nexit 5\r\n", "no-shebang": "exit 5\n"} {
		writeProgram(t, filepath.Join(dir, name), text)
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "plain"), 0o644))
}

func (r *initRun) note(format string, args ...any) {
	r.observed = append(r.observed, fmt.Sprintf(format, args...))
}

// signals sends the signals of the script to the init, makes the app exit, and notes what it
// observes. A script may have no signals.
func (r *initRun) signals(end *os.File) {
	r.t.Helper()
	if len(r.s.ready) > 0 {
		var lines []string
		for _, name := range r.s.ready {
			lines = append(lines, name+" ready")
		}
		if r.s.reads() && !r.s.asleep { // also wait for the app's child with the name reader (see shellWaits): until it has set its handlers, a signal to the process group would kill it
			lines = append(lines, "reader ready")
		}
		r.stdout.expectAll(lines...)
		r.look()
	}
	switch {
	case r.s.asleep:
		r.waitUntilStopped()
		r.send(r.s.order[0])
		r.send(syscall.SIGCONT)
		r.stdout.expect("reader ready")
		r.signal(lastSignal)
		r.stdout.expect(fmt.Sprint("app got ", int(lastSignal)))
		r.note("after SIGCONT %s", strings.Join(regexp.MustCompile(`app got \d+`).FindAllString(r.stdout.text(), -1), ", "))
	default:
		for _, sig := range r.s.order {
			r.signalStep(sig)
		}
	}
	end.Close()
	var alive []string
	for _, name := range r.s.children() {
		alive = append(alive, name+" alive")
	}
	r.stdout.expectAll(alive...)
	switch {
	case r.s.kills != 0:
		r.signal(r.s.kills)
	case r.s.stdin != "":
		r.write(r.s.stdin + "\n")
	case len(r.s.ready) > 0:
		r.in.Close() // at the end of its stdin the app exits
	}
	r.note("exits with %d", r.code())
	all := r.stdout.rest()
	for _, name := range r.s.children() {
		r.noteChild(name, all)
	}
}

// look notes whether the init keeps its working directory and inherited descriptors while its
// app runs, and whether the init has closed stdin, stdout or stderr. If the script suspends the
// app (SIGSTOP), or makes orphans or zombies, look also finds the app's pid (r.app). If it
// makes orphans or zombies, look then waits until the init has reaped the orphans that have
// exited.
func (r *initRun) look() {
	r.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", r.pid())
	// An init that is not in keepers changes its directory or closes the descriptors, but
	// perhaps only after it has started the app. So the test polls until that has happened.
	name, _, _ := strings.Cut(filepath.Base(r.init), " ")
	keep := func(what string, keepers []string, keeps func() bool) {
		if slices.Contains(keepers, name) {
			if keeps() {
				r.note("the init's %s: kept", what)
			}
			return
		}
		eventually(r.t, func() bool { return !keeps() }, func() string { return r.init + " keeps " + what })
		r.note("the init's %s: let go", what)
	}
	keep("working directory", []string{"tini", "catatonit"}, func() bool {
		cwd, err := os.Readlink(proc + "cwd")
		return err == nil && cwd != "/"
	})
	keep("inherited descriptors", []string{"tini", "dumb-init"}, func() bool {
		_, err := os.Lstat(proc + "fd/4")
		return err == nil
	})
	for fd := range 3 {
		if _, err := os.Lstat(fmt.Sprint(proc, "fd/", fd)); err != nil {
			r.note("has closed descriptor %d", fd)
		}
	}
	stops := slices.ContainsFunc(r.s.order, stopsProcess)
	if !stops && !r.s.asleep && r.s.orphans == 0 && r.s.zombie == 0 {
		return
	}
	children := childrenOf(r.t, r.pid())
	r.app = slices.MinFunc(children, func(a, b int) int { return pidInside(a) - pidInside(b) }) // the app is the init's first child
	if r.s.orphans == 0 && r.s.zombie == 0 {
		return
	}
	// The orphans that exit at once (initScript.orphans) may still be running. So wait until the
	// init has reaped them, and the app's zombie children are the only zombies.
	running := len(r.s.ready)
	if r.s.reads() {
		running++
	}
	eventually(r.t, func() bool {
		zombies := 0
		for _, pid := range childrenOf(r.t, r.app) {
			zombies += strings.Count(state(pid), "Z")
		}
		all := len(childrenOf(r.t, r.pid())) + len(childrenOf(r.t, r.app)) // includes the app and its zombies
		return zombies == r.s.zombie && all-zombies == running
	}, func() string { return r.init + " has not reaped the orphans" })
}

func stopsProcess(sig syscall.Signal) bool {
	return sig == syscall.SIGTSTP || sig == syscall.SIGTTIN || sig == syscall.SIGTTOU
}

// pidInside returns the pid that a process has in its own PID namespace, or a very high number
// if there is no such process.
func pidInside(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`(?m)^NSpid:.*\t(\d+)$`).FindSubmatch(status)
	if m == nil {
		return 1 << 30
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// reads reports whether the app waits for a child that reads stdin (shellWaits).
func (s *initScript) reads() bool { return strings.Contains(strings.Join(s.app, " "), "catch reader") }

// children returns the names of the app's background processes, which print each signal that
// they get.
func (s *initScript) children() (names []string) {
	for _, name := range s.ready {
		if name != "app" && strings.Contains(strings.Join(s.app, " "), "catch "+name) {
			names = append(names, name)
		}
	}
	return names
}

// signalledChildren returns the names of the children that also get the signals that the test
// sends to the init. These are the children in the app's process group, if the init signals
// that group. The test has to wait for these children before it sends the next signal.
// Otherwise the order in which they get the signals would depend on the scheduler.
func (r *initRun) signalledChildren() []string {
	if !strings.HasPrefix(r.init, "tini -g") && r.init != "dumb-init --" {
		return nil
	}
	return slices.DeleteFunc(r.s.children(), func(name string) bool { return name == "apart" })
}

func (r *initRun) send(sig syscall.Signal) {
	r.sent = append(r.sent, sig)
	r.signal(sig)
}

// withheld reports whether the init does not forward sig, so that the test cannot wait until
// the app has got sig. If the init does forward a signal of the list, compareInits fails.
func (r *initRun) withheld(sig syscall.Signal) bool {
	list := map[string][]syscall.Signal{
		"tini":      {4, 5, 6, 7, 8, 11, 21, 22, 31, 32, 33},
		"dumb-init": {32, 33},
		"catatonit": {4, 5, 6, 7, 8, 11, 20, 21, 22, 31, 32, 33},
	}
	name, _, _ := strings.Cut(r.init, " ")
	return slices.Contains(list[name], sig)
}

// step is called when the test has sent sig to the init. It reads stdout until the app and the
// signalledChildren have printed that they got sig. If the init does not forward sig, or the
// app prints nothing when it gets sig, step sends lastSignal too, and waits for lastSignal
// instead. It returns the lines "app got N" that it has read, except for lastSignal.
func (r *initRun) step(sig syscall.Signal) (app []string) {
	r.t.Helper()
	if r.withheld(sig) || r.s.silent(sig) {
		sig = lastSignal
		r.signal(sig)
	}
	waiting := map[string]bool{"app": true}
	for _, name := range r.signalledChildren() {
		waiting[name] = true
	}
	for len(waiting) > 0 {
		line, ok := r.stdout.next()
		require.True(r.t, ok, "%s has exited after signal %d", r.init, r.sent[len(r.sent)-1])
		name, number, got := strings.Cut(line, " got ")
		if got && number == fmt.Sprint(int(sig)) {
			delete(waiting, name)
		}
		if got && name == "app" && number != fmt.Sprint(int(lastSignal)) {
			app = append(app, line)
		}
	}
	return app
}

// signalStep sends one signal, and notes whether the app got it. After a signal that may stop
// the app, signalStep does the same with SIGCONT.
func (r *initRun) signalStep(sig syscall.Signal) {
	r.t.Helper()
	r.send(sig)
	stops := stopsProcess(sig)
	if stops && r.init == "dumb-init --" {
		r.waitUntilStopped()
		r.note("signal %d: app was stopped", sig)
	} else {
		r.noteStep(sig)
	}
	if stops {
		// After SIGTSTP, SIGTTIN or SIGTTOU dumb-init sends SIGSTOP to itself. The kernel does
		// not stop dumb-init, because it is PID 1, but drops a SIGCONT that is pending. So the
		// test sends SIGCONT only when the init sleeps again (state S) and waits for a signal.
		eventually(r.t, func() bool { return state(r.pid()) == "S" }, func() string { return r.init + " does not wait for signals" })
		r.send(syscall.SIGCONT)
		r.noteStep(syscall.SIGCONT)
	}
}

func (r *initRun) noteStep(sig syscall.Signal) {
	r.t.Helper()
	if got := r.step(sig); len(got) > 0 {
		r.note("signal %d: %s", sig, strings.Join(got, ", "))
	} else {
		r.note("signal %d: nothing", sig)
	}
}

func (r *initRun) waitUntilStopped() {
	r.t.Helper()
	eventually(r.t, func() bool { return state(r.app) == "T" }, func() string { return "the app is not stopped" })
}

// noteChild notes for each signal in r.sent whether a child got it. printed is the whole
// output of the run.
func (r *initRun) noteChild(name, printed string) {
	r.t.Helper()
	var got []int
	for _, m := range regexp.MustCompile(`(?m)^`+name+` got (\d+)$`).FindAllStringSubmatch(printed, -1) {
		if n, _ := strconv.Atoi(m[1]); n != int(lastSignal) {
			got = append(got, n)
		}
	}
	for _, sig := range r.sent {
		if len(got) > 0 && got[0] == int(sig) {
			got = got[1:]
			r.note("%s: got signal %d", name, sig)
		} else {
			r.note("%s: no signal %d", name, sig)
		}
	}
	if len(got) > 0 {
		r.note("%s: then got %v", name, got)
	}
}

// state notes the exit code and what "puppet state" prints: the app's parent, its process
// group and what it has inherited, without numbers that differ from run to run.
func (r *initRun) state(stdout *reader) {
	r.t.Helper()
	if slices.Contains(r.s.launch, "ignore=17") {
		// The init was started with SIGCHLD (17) ignored. Some inits leave it ignored, and do not
		// notice the app's exit. So kill the init.
		stdout.expect("/proc/self/ns/uts -> ")
		r.cmd.Process.Kill()
		r.code()
	} else {
		r.note("exits with %d", r.code())
	}
	all := stdout.rest()
	numbers := own(all)
	switch {
	case numbers["pgid"] == numbers["pid"]:
		r.note("app leads its process group")
	default:
		r.note("app is in the process group %s", numbers["pgid"])
	}
	r.note("app's parent is %s", numbers["ppid"])
	all = regexp.MustCompile(`(pipe|socket):\[\d+\]`).ReplaceAllString(all, "$1")
	all = regexp.MustCompile(`/dev/pts/\d+`).ReplaceAllString(all, "tty")
	all = regexp.MustCompile(`-> /\S*/held`).ReplaceAllString(all, "-> held")
	all = strings.ReplaceAll(all, "session "+numbers["pid"]+"\n", "session of its own\n")
	for line := range strings.Lines(all) {
		if line = strings.TrimSpace(line); line != "go" && !strings.HasPrefix(line, "own ") && !strings.HasPrefix(line, "/proc/self/ns/pid") && !strings.HasPrefix(line, "/proc/self/ns/mnt") {
			r.note("%s", line)
		}
	}
}

// belowPID1 observes an init that is not PID 1. A child and an orphan are running when the
// app exits.
func (r *initRun) belowPID1(end *os.File) {
	r.t.Helper()
	lines := r.stdout.expectAll("app ready", "child ready", "orphan ready")
	parent := r.enter(nil, "sed", "-n", "s/^PPid:\t1$/PID 1/p", "/proc/"+pidIn(r.t, lines[2])+"/status")
	parent.code()
	if parent.stdout.rest() == "PID 1" {
		r.note("orphan: its parent is PID 1")
	} else {
		r.note("orphan: its parent is the init")
	}
	r.write(r.s.stdin + "\n")
	r.note("%s", r.stdout.expect("init exited"))
	end.Close()
	r.stdout.expectAll("child alive", "orphan alive")
	r.in.Close()
	r.code()
	got := strings.Count(r.stdout.rest(), "child got 15\n")
	r.note("child: got SIGTERM %d times after the app's exit", got)
}
