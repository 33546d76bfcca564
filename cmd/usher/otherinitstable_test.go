package main

import (
	"fmt"
	"strings"
)

const (
	// cannotRun is a regular expression for initDifference.kinds: the scripts whose command
	// cannot be executed.
	cannotRun = "not found|not found in PATH|empty name|a directory|not executable|no interpreter.*"
	allInits  = "tini, tini -g, dumb-init, dumb-init -c, catatonit" // for initDifference.inits
)

// initDifferences lists all differences that TestOtherInits finds between usher without flags
// and the other inits. Each run is recorded as lines. If several rows apply to a line of usher's
// run, the first one counts.
// "make docs" writes the rows that have a subject into usher(1).
var initDifferences = []initDifference{
	// ---- which signals are forwarded, and to which processes
	{inits: "tini, tini -g", kinds: ".*", line: `(signal (?:4|5|6|7|8|11|21|22|31)): app got \d+`, other: "$1: nothing",
		subject: "Signals that the app does not get",
		usher:   "SIGCHLD.",
		others:  "With tini and catatonit also SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGTTIN and SIGTTOU, with catatonit SIGTSTP too. With all three also the real-time signals 32 and 33.",
		reason:  "Whoever sends SIGABRT wants a core file or the stacks of the app. The C library uses 32 and 33 itself, but an app need not use that library."},
	{inits: "catatonit", kinds: ".*", line: `(signal (?:4|5|6|7|8|11|20|21|22|31)): app got \d+`, other: "$1: nothing"},
	{inits: allInits, kinds: ".*", line: `(signal (?:32|33)): app got \d+`, other: "$1: nothing"},
	{inits: "dumb-init", kinds: ".*", line: `(signal (?:20|21|22)): (?:app got \d+|nothing)`, other: "$1: app was stopped",
		subject: "SIGTSTP, SIGTTIN and SIGTTOU",
		usher:   "Forwarded.",
		others:  "dumb-init sends SIGSTOP instead, `dumb-init -c` forwards them; for the others see above.",
		reason:  "The app may handle these signals, as shells and editors do. SIGSTOP cannot be handled."},
	{inits: "tini -g", kinds: ".*", line: `(child|orphan): no signal (1|2|3|9|1[02-9]|20|2[3-9]|30|3[4-9]|[4-6][0-9])`, other: "$1: got signal $2",
		subject: "Processes that get the signals",
		usher:   "The app.",
		others:  "tini, `dumb-init -c` and catatonit the same. `tini -g` and dumb-init signal the app's process group.",
		reason:  "The app decides when its children end. For an app that does not there are `--grace` and `--group`."},
	{inits: "dumb-init", kinds: ".*", line: `(child|orphan): no signal ([1-9]|1[0-9]|2[3-9]|3[01]|3[4-9]|[4-6][0-9])`, other: "$1: got signal $2"},

	// ---- exits
	{inits: "dumb-init, dumb-init -c", kinds: cannotRun, line: `exits with 12[67]`, other: "exits with 2",
		subject: "Exit code when the command cannot be started",
		usher:   "127 if it is not found, else 126. A script whose interpreter is missing has been found: 126.",
		others:  "tini the same, but 127 for a missing interpreter; dumb-init 2; catatonit 1.",
		reason:  "Shells and docker run use 126 and 127, and an app may exit with 1 or 2 itself."},
	{inits: "catatonit", kinds: cannotRun, line: `exits with 12[67]`, other: "exits with 1"},
	{inits: "tini, tini -g", kinds: "no interpreter.*", line: `exits with 126`, other: "exits with 127"},
	{inits: allInits, kinds: "exits while a child runs", line: `prints to stderr`, other: "",
		subject: "Processes that are still running when the app has exited",
		usher:   "One warning names them. The kernel kills them with PID 1.",
		others:  "The kernel kills them too, without a warning. dumb-init sends SIGTERM to the app's process group, but exits without waiting.",
		reason:  "Their work is cut, and without the warning nobody would know. With `--grace` they get time to stop."},
	{inits: "dumb-init", kinds: "not PID 1", line: `child: got SIGTERM 0 times after the app's exit`, other: "child: got SIGTERM 1 times after the app's exit"},
	{inits: "dumb-init, dumb-init -c, catatonit", kinds: "not PID 1", line: `prints to stderr`, other: "",
		subject: "Orphans, if the init is not PID 1",
		usher:   "Become usher's children, and are reaped. The warning of processes that are still running is printed here too.",
		others:  "catatonit the same, without the warning. With tini (unless `tini -s` is used) and dumb-init they become children of PID 1; tini prints a warning about that at its start.",
		reason:  "If PID 1 is no init, they would stay zombies."},
	{inits: "tini, tini -g, dumb-init, dumb-init -c", kinds: "not PID 1", line: `orphan: its parent is the init`, other: "orphan: its parent is PID 1"},

	// ---- what the app inherits
	{inits: "dumb-init", kinds: ".*", line: `session [01]`, other: "session of its own",
		subject: "Session and process group of the app",
		usher:   "In the session in which usher was started, and in a process group of its own, which gets the foreground of the terminal.",
		others:  "tini and catatonit the same. With dumb-init the app has a session of its own, with `dumb-init -c` it stays in the init's process group.",
		reason:  "The app has the terminal as without an init, and a signal of the terminal reaches it once."},
	{inits: "dumb-init -c", kinds: ".*", line: `app leads its process group`, other: "app is in the process group 1"},
	{inits: "tini, tini -g, dumb-init, dumb-init -c", kinds: "socket activation", line: `env (\d+) "LISTEN_PID=its\\x20own"`, other: `env $1 "LISTEN_PID=1"`,
		subject: "LISTEN_PID (socket activation)",
		usher:   "Becomes the app's pid.",
		others:  "catatonit the same. With tini and dumb-init it remains the pid of the init.",
		reason:  "An app does not use the sockets if LISTEN_PID is not its own pid (sd_listen_fds(3))."},
	{inits: "dumb-init, dumb-init -c", kinds: "signals ignored|SIGPROF ignored|terminal signals ignored", line: `SigIgn:\t(.{8}).*`, other: "SigIgn:\t${1}00000000",
		subject: "Ignored and blocked signals that the init was started with",
		usher:   "The app inherits them, except the following if they are ignored: SIGCHLD, SIGPROF, the real-time signal 33 and the signals of faults, such as SIGSEGV.",
		others:  "With tini the app inherits all of them, with catatonit too, but SIGTSTP, SIGTTIN and SIGTTOU are always blocked. With dumb-init it inherits only ignored real-time signals.",
		reason:  "nohup works as without an init. A process that ignores SIGCHLD does not learn of the exits of its children: tini and catatonit then run on after the app's exit. The Go runtime resets the others."},
	{inits: "dumb-init, dumb-init -c", kinds: "signals blocked", line: `SigBlk:.*`, other: "SigBlk:\t0000000000000000"},
	{inits: "catatonit", kinds: ".*", line: `SigBlk:\t(.{10})00(.*)`, other: "SigBlk:\t${1}38$2"},
	{inits: "tini, tini -g, catatonit", kinds: "SIGCHLD ignored", line: `SigIgn:\t0000000000000000`, other: "SigIgn:\t0000000000010000"},
	{inits: "tini, tini -g, catatonit", kinds: "SIGPROF ignored", line: `SigIgn:\t0000000000000200`, other: "SigIgn:\t0000000004000200"},

	// ---- what the init holds
	{inits: "tini, tini -g, catatonit", kinds: ".*", line: `the init's working directory: let go`, other: "the init's working directory: kept",
		subject: "What the init keeps while the app runs",
		usher:   "stdin, stdout and stderr.",
		others:  "tini keeps the working directory and all inherited descriptors, dumb-init the descriptors, catatonit the directory.",
		reason:  "When the app closes a pipe, its reader gets the end of file. A volume can be unmounted."},
	{inits: "tini, tini -g, dumb-init, dumb-init -c", kinds: ".*", line: `the init's inherited descriptors: let go`, other: "the init's inherited descriptors: kept"},
}

// mdocOfOtherInits formats the rows that have a subject, in mdoc(7), for usher(1).
func mdocOfOtherInits() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, d := range initDifferences {
		if d.subject != "" {
			fmt.Fprintf(&b, ".It %s\n%s.br\n%s.br\n%s", d.subject, mdoc("usher: "+d.usher), mdoc("The others: "+d.others), mdoc("Reason: "+d.reason))
		}
	}
	return b.String() + ".El\n"
}
