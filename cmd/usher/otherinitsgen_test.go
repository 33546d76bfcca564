package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// initScript is an app, what it inherits, and the signals that its init gets.
type initScript struct {
	kind   string   // what the script shows; initDifferences refers to it
	app    []string // the app's command line; $puppet stands for the path of the program testdata/puppet.c, $dir for the run's directory
	launch []string // options of "puppet launch", which executes the init: they set what the init inherits
	tty    bool     // on a terminal
	below  bool     // the init is not PID 1

	ready   []string         // the processes that print "NAME ready"
	order   []syscall.Signal // sent to the init; each one after the app has got the previous one
	traps   []syscall.Signal // the signals that the app prints; nil: all
	kills   syscall.Signal   // sent to the init at the end, to end the app; 0: none
	stdin   string           // written to the app's stdin at the end; if neither kills nor stdin is set, the test closes the app's stdin instead
	asleep  bool             // the app stops itself with SIGSTOP; the test sends order[0] and then SIGCONT
	state   bool             // the app is "puppet state"
	orphans int              // orphans that exit at once
	zombie  int              // children of the app that exit and that the app does not reap
}

// String returns the script for a message.
func (s *initScript) String() string {
	return fmt.Sprintf("script: %s\napp: %q\ninherits: %q\nsignals: %v, in the end: %d\nstdin: %q", s.kind, s.app, s.launch, s.order, s.kills, s.stdin)
}

// silent reports whether the app prints nothing when it gets the signal.
func (s *initScript) silent(sig syscall.Signal) bool {
	return s.traps != nil && !slices.Contains(s.traps, sig)
}

// lastSignal is sent after a signal that the app does not get or does not print. When the
// app has printed lastSignal, the init has handled the signal that was sent before it: of
// several pending signals the kernel delivers the lowest number first, and lastSignal is the
// highest.
const lastSignal = syscall.Signal(64)

// catchable returns the signals that a process can handle, except lastSignal, and except
// SIGCHLD, which inits do not forward.
func catchable() (all []syscall.Signal) {
	for sig := syscall.Signal(1); sig < lastSignal; sig++ {
		if sig != syscall.SIGKILL && sig != syscall.SIGSTOP && sig != syscall.SIGCHLD {
			all = append(all, sig)
		}
	}
	return all
}

// everyKind returns scripts that show all differences between the inits in initDifferences.
func everyKind() []*initScript {
	r := rand.New(rand.NewPCG(0, 0))
	some := []syscall.Signal{1, 2, 6, 10, 11, 15, 20, 21, 23, 28, 32, 34, 50, 63} // among them fault, job control and real-time signals
	scripts := []*initScript{
		{kind: "signals", app: []string{"$puppet", "catch", "app"}, ready: []string{"app"}, order: catchable()},
		shellScript(r, shellOptions{trapped: some, order: some, children: []string{"child", "apart", "orphan"}}),
		{kind: "child", app: []string{"sh", "-c", "$puppet catch child <&3 & exec $puppet catch app"}, ready: []string{"app", "child"}, order: some},
		{kind: "SIGCHLD ignored", state: true, launch: []string{"ignore=17"}, app: []string{"$puppet", "state"}},
		{kind: "SIGPROF ignored", state: true, launch: []string{"ignore=10,27"}, app: []string{"$puppet", "state"}},
		{kind: "signals ignored", state: true, launch: []string{"ignore=1,2,10,13,15,23,40"}, app: []string{"$puppet", "state"}},
		{kind: "terminal signals ignored", state: true, launch: []string{"ignore=21,22"}, app: []string{"$puppet", "state"}},
		{kind: "signals blocked", state: true, launch: []string{"block=10,12,34,40"}, app: []string{"$puppet", "state"}},
		{kind: "inherits", state: true, app: []string{"$puppet", "state"}},
		{kind: "socket activation", state: true, launch: []string{"listen=1", "env=LISTEN_FDS=1"}, app: []string{"$puppet", "state"}},
		{kind: "terminal", state: true, tty: true, app: []string{"sh", "-c", "read line; exec $puppet state"}},
		{kind: "exits while a child runs", app: []string{"sh", "-c", "$puppet pause child & echo app ready; read line; exit $line"}, ready: []string{"app", "child"}, stdin: "9"},
		{kind: "not PID 1", below: true, stdin: "7",
			app: []string{"sh", "-c", "$puppet catch child <&3 & $puppet daemon $puppet catch orphan <&3; echo app ready; read line; exit $line"}, ready: []string{"app", "child", "orphan"}},
		{kind: "unreaped", app: []string{"sh", "-c", "$puppet daemon true; true & exec $puppet catch app"}, ready: []string{"app"}, orphans: 1, zombie: 1},
		{kind: "stopped", asleep: true, app: []string{"sh", "-c", "trap 'echo app got 64' 64; trap 'echo app got 10' 10; trap 'echo app got 18' 18; echo app ready; kill -STOP $$; " + shellWaits(3)},
			ready: []string{"app"}, order: []syscall.Signal{10}},
	}
	for _, name := range []string{"not found", "not found in PATH", "a directory", "not executable", "no interpreter", "no interpreter, carriage return", "no shebang", "empty name"} {
		scripts = append(scripts, &initScript{kind: name, app: []string{commands[name], "x"}})
	}
	for _, code := range []int{0, 1, 2, 126, 127, 128, 143, 255} {
		scripts = append(scripts, exits(code))
	}
	for _, sig := range []syscall.Signal{1, 2, 3, 6, 9, 11, 15, 31, 32, 34, 64} {
		scripts = append(scripts, killedByItself(sig))
	}
	for _, sig := range []syscall.Signal{1, 2, 3, 15, 34} {
		scripts = append(scripts, killedFromOutside(sig))
	}
	return scripts
}

// commands maps what is wrong with a command to a command with this defect. writeCommands
// makes the files.
var commands = map[string]string{
	"not found": "/no/such/command", "not found in PATH": "no-such-command", "a directory": "$dir", "not executable": "$dir/plain", "empty name": "",
	"no interpreter": "$dir/orphaned", "no interpreter, carriage return": "$dir/windows", "no shebang": "$dir/no-shebang",
}

func exits(code int) *initScript {
	return &initScript{kind: "exits", app: []string{"sh", "-c", fmt.Sprintf("exit %d", code)}}
}

// killedByItself returns a script whose app, a shell, sends a signal to itself. The init must
// start the shell with the default action for the signal, so that the signal kills it.
func killedByItself(sig syscall.Signal) *initScript {
	return &initScript{kind: "killed", app: []string{"sh", "-c", fmt.Sprintf("kill -%d $$; read line", sig)}}
}

func killedFromOutside(sig syscall.Signal) *initScript {
	return &initScript{kind: "killed by a forwarded signal", app: []string{"$puppet", "pause", "app"}, ready: []string{"app"}, kills: sig}
}

// shellOptions describes a script for shellScript.
type shellOptions struct {
	trapped  []syscall.Signal // with a trap that prints the signal
	ignored  []syscall.Signal
	exitsOn  syscall.Signal // with a trap that exits
	children []string       // background processes: child, apart (in its own session), orphan (its parent has exited)
	orphans  int            // further orphans, which exit at once
	exec     bool           // at the end the shell executes the puppet, which prints all signals
	order    []syscall.Signal
	code     int
}

// shellScript returns a script whose app is a shell script with the parts of a typical
// entrypoint: traps, background processes, and a wait or an exec at the end.
func shellScript(r *rand.Rand, o shellOptions) *initScript {
	var lines []string
	background := map[string]string{"child": "$puppet catch child <&3 &", "apart": "setsid $puppet catch apart <&3 &", "orphan": "($puppet catch orphan <&3 &)"}
	for _, sig := range append(slices.Clone(o.trapped), lastSignal) {
		if sig != 32 && sig != 33 { // the C library uses them itself, so the shell cannot have a trap for them
			lines = append(lines, fmt.Sprintf("trap 'echo app got %d' %d", sig, sig))
		}
	}
	for _, sig := range o.ignored {
		lines = append(lines, fmt.Sprintf("trap '' %d", sig))
	}
	if o.exitsOn != 0 {
		lines = append(lines, fmt.Sprintf("trap 'exit %d' %d", o.code, o.exitsOn))
	}
	for _, name := range o.children {
		lines = append(lines, background[name])
	}
	for range o.orphans {
		lines = append(lines, "$puppet daemon true")
	}
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	s := &initScript{kind: "script", ready: append([]string{"app"}, o.children...), order: o.order, orphans: o.orphans}
	s.order = slices.DeleteFunc(slices.Clone(o.order), func(sig syscall.Signal) bool { return !o.exec && (sig == 32 || sig == 33) })
	if !o.exec {
		s.traps = append(slices.Clone(o.trapped), lastSignal)
	}
	switch {
	case o.exec:
		lines = append(lines, "exec $puppet catch app")
	case o.exitsOn != 0:
		s.kills = o.exitsOn
		lines = append(lines, shellWaits(1))
	default:
		lines = append(lines, shellWaits(o.code))
	}
	s.app = []string{"sh", "-c", strings.ReplaceAll(strings.Join(lines, "; "), "&;", "&")}
	return s
}

// shellWaits returns the last commands of a shell script. The shell handles signals until the
// end of stdin, and then exits with code. To notice the end of stdin, it waits for a child
// that reads stdin. If the shell read stdin itself, a signal that arrives just before
// read(2), after the shell's check for pending traps, would run its trap only after the read.
func shellWaits(code int) string {
	return fmt.Sprintf("exec 5<&0; $puppet catch reader <&5 & reader=$!; echo app ready; while kill -0 $reader 2>/dev/null; do wait $reader; done; exit %d", code)
}

// generateScripts returns n random scripts, which depend on the seed alone.
func generateScripts(seed uint64, n int) (scripts []*initScript) {
	for i := range n {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		scripts = append(scripts, generateScript(r))
	}
	return scripts
}

func generateScript(r *rand.Rand) *initScript {
	all := catchable()
	some := func(from []syscall.Signal, n int) (list []syscall.Signal) {
		for _, i := range r.Perm(len(from))[:min(n, len(from))] {
			list = append(list, from[i])
		}
		return list
	}
	repeat := func(from []syscall.Signal, n int) (list []syscall.Signal) {
		for range n {
			list = append(list, from[r.IntN(len(from))])
		}
		return list
	}
	switch r.IntN(10) {
	case 0:
		return exits(r.IntN(256))
	case 1:
		return killedByItself(some([]syscall.Signal{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 45, 63, 64}, 1)[0])
	case 2:
		return killedFromOutside(some([]syscall.Signal{1, 2, 3, 10, 12, 13, 14, 15, 24, 25, 26, 27, 29, 30, 34, 45, 64}, 1)[0])
	case 3:
		return &initScript{kind: "signals", app: []string{"$puppet", "catch", "app"}, ready: []string{"app"}, order: repeat(all, 12)}
	case 4:
		var args []string
		for range r.IntN(8) {
			args = append(args, []string{"", " ", "a b", "--", "-g", "-c", "--help", "\xff\xfe", "é", "\n", "\\", `"'`, "$HOME", "*", strings.Repeat("x", r.IntN(9000))}[r.IntN(15)])
		}
		launch := []string{fmt.Sprintf("umask=%o", r.IntN(0o1000)), fmt.Sprint("nice=", r.IntN(20)), "env=PATH=/usr/bin:/bin",
			fmt.Sprint("env=A=", r.IntN(9)), fmt.Sprint("env=A=", r.IntN(9)), "env=EMPTY=", "env=odd", "env=B=\xff\n"}
		if r.IntN(2) == 0 {
			launch = append(launch, fmt.Sprintf("dup=3:%d", 5+r.IntN(90)), "nonblock=3")
		}
		return &initScript{kind: "inherits", state: true, launch: launch, app: append([]string{"$puppet", "state"}, args...)}
	case 5:
		ignored := []string{"1", "2", "3", "6", "10", "12", "13", "14", "15", "18", "20", "23", "24", "25", "26", "28", "29", "30", "34", "40", "64"}
		r.Shuffle(len(ignored), func(i, j int) { ignored[i], ignored[j] = ignored[j], ignored[i] })
		return &initScript{kind: "signals ignored", state: true, launch: []string{"ignore=" + strings.Join(ignored[:1+r.IntN(5)], ",")}, app: []string{"$puppet", "state"}}
	}
	o := shellOptions{trapped: some(all, 2+r.IntN(8)), orphans: r.IntN(4), code: r.IntN(256), exec: r.IntN(3) == 0}
	for _, name := range []string{"child", "apart", "orphan"} {
		if r.IntN(2) == 0 {
			o.children = append(o.children, name)
		}
	}
	for _, sig := range some(all, 3) {
		if !slices.Contains(o.trapped, sig) {
			o.ignored = append(o.ignored, sig)
		}
	}
	o.order = repeat(append(slices.Clone(o.trapped), o.ignored...), 3+r.IntN(8))
	if !o.exec && r.IntN(2) == 0 {
		if exitsOn := []syscall.Signal{1, 2, 3, 10, 15, 34}[r.IntN(6)]; !slices.Contains(append(o.trapped, o.ignored...), exitsOn) {
			o.exitsOn = exitsOn
		}
	}
	return shellScript(r, o)
}

// The same seed gives the same scripts, so that a failure can be repeated.
func TestScriptsForInitsDependOnTheSeedAlone(t *testing.T) {
	for i := range generateScripts(3, 50) {
		if a, b := generateScripts(3, 50)[i].String(), generateScripts(3, 50)[i].String(); a != b {
			t.Fatalf("%s\n%s", a, b)
		}
	}
}
