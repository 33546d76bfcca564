// Usher is a tiny PID 1 for containers. It waits for the app's dependencies,
// starts the app, forwards signals and reaps orphans, and on SIGTERM drains and
// stops the app, all within one deadline. Package supervisor documents this
// behaviour; usher.1 in this directory documents the command line.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	golog "log"
	"math"
	"os"
	"runtime/debug"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/hashicorp/go-multierror"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

func main() {
	// With http2debug=2 in GODEBUG, x/net/http2 prints the frames of usher's own probes
	// through package log. Users set GODEBUG for the app, so usher discards this output.
	golog.SetOutput(io.Discard)
	if err := checkDescriptors(); err != nil {
		os.Exit(reportTooFew(err, defaultTerminationLog))
	}
	os.Exit(usher(os.Args[1:], environ()[signals.InjectedEnvVars():], os.Stdout))
}

// environ returns the environment that usher was executed with. os.Environ drops entries
// with duplicate names, but the app must get these entries too.
//
//go:linkname environ syscall.runtime_envs
func environ() []string

// usher does what the command line args and the environment env say, and returns the exit
// status of this process. It writes the texts of --help, --version and --plan to stdout.
func usher(args, env []string, stdout io.Writer) int {
	o, err := parseOptions(args, env)
	threads, noThreads := makeThreads(&o, err == nil)
	if noThreads != nil {
		return reportLimit(&o, noThreads)
	}
	// signals.Open starts to receive signals. A SIGTERM, SIGINT or SIGHUP that arrives earlier
	// ends usher. If usher was built by the Makefile for amd64 or arm64, which links the entry
	// point of package signals, it then exits with 128 plus the number of the signal.
	inbox, noSignals := signals.Open(o.config.StopOn...)
	if noSignals != nil {
		return reportTooFew(noSignals, cmp.Or(o.terminationLog, defaultTerminationLog))
	}
	out := newOutput(os.Stderr)
	hurried := false // whether the time of --grace is nearly over at the exit
	defer func() { out.flush(hurried) }()
	switch {
	case o.help:
		fmt.Fprint(stdout, usage())
		return 0
	case o.version:
		fmt.Fprintln(stdout, version())
		return 0
	}

	log := newLogger(out, o)
	// --probe and --install do not write the termination log, because they may run in a
	// container in which another usher writes it.
	if !o.otherForm {
		defer log.termination.write()
	}
	switch {
	case err != nil:
		log.usageErrors(err)
		return supervisor.CodeFault
	case len(o.probe) > 0:
		return log.probed(supervisor.Ask(context.Background(), supervisor.Config{Env: env, Signals: inbox, Output: log.hookOutput}, o.probe))
	case o.install != "":
		return log.installed(install(inbox, o.install))
	case o.plan:
		fmt.Fprint(stdout, plan(&o))
		return 0
	}
	if hasDuties(&o.config) {
		threads.settle()
	}
	if o.health != "" {
		h, err := listenForHealth(o.health, o.config.Readiness, maxConnections(&o))
		if err != nil {
			log.usageErrors(err)
			return supervisor.CodeFault
		}
		o.config.IdleAccepted = h.accepted.Load
		go h.serve()
		log.log(supervisor.Event{Kind: healthListening, Text: o.health})
	}
	var n *notifier
	if o.notifyErr != nil {
		log.log(supervisor.Event{Kind: notifyFailed, Err: o.notifyErr})
	}
	if o.notifySocket != "" {
		n = newNotifier(o.notifySocket, log, &o.config)
		go n.run()
		defer n.flush()
	}
	code, left := supervise(inbox, out, log, n, o.config, threads)
	hurried = left < 2*flushUnhurried
	return code
}

// supervise runs the whole timeline, from the wait to the exit. It returns usher's exit status
// and the time that is left of --grace; without --grace that is unlimited. n is nil if usher
// does not notify a service manager.
func supervise(inbox *signals.Inbox, out *output, log *logger, n *notifier, c supervisor.Config, threads *spares) (code int, left time.Duration) {
	left = math.MaxInt64
	c.Signals = inbox
	c.Observe = func(e supervisor.Event) {
		log.observe(e)
		if n != nil {
			n.observe(&e)
		}
		guardDeadline(&c, e)
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Start {
			threads.wait()
		}
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Running && hasDuties(&c) {
			rearmNetpoll()
		}
		if e.Kind == supervisor.AppExec {
			out.flush(false)
		}
		if e.Kind == supervisor.Exited && c.Grace > 0 {
			left = c.Grace - e.Summary.Shutdown
		}
	}
	c.Output = log.hookOutput
	c.Detach = true
	c.Self = []string{"/proc/self/exe", "--exec", "--termination-log", os.DevNull, "--"}
	code, err := supervisor.Run(context.Background(), c)
	if invalid := (*multierror.Error)(nil); errors.As(err, &invalid) {
		log.usageErrors(err)
	}
	return code, left
}

// guardMargin is the time between the end of --grace and the exit by guardDeadline.
const guardMargin = 2 * time.Second

// guardDeadline ends usher if a bug blocks the supervisor's goroutine beyond the deadline.
// When the shutdown begins, guardDeadline starts a timer for --grace. When that timer
// expires, it starts a second one for guardMargin. When that one expires, usher exits with
// 137, as if it had been killed by SIGKILL. If usher is PID 1, the kernel then kills all
// other processes of the container.
//
// A single timer for the sum is not enough, because timers also run while the container is
// frozen (docker pause). If --grace expires while the container is frozen, the second timer
// starts only when the container continues. So the supervisor then has guardMargin to kill
// the app and to log that.
func guardDeadline(c *supervisor.Config, e supervisor.Event) {
	if c.Grace > 0 && shutdownStarts(&e) {
		exit := func() { os.Exit(supervisor.Exit{Signal: syscall.SIGKILL}.Code()) }
		time.AfterFunc(c.Grace, func() { time.AfterFunc(guardMargin, exit) })
	}
}

// shutdownStarts reports whether an event is of a kind that begins the shutdown. Such an
// event may also be reported during the shutdown, for example when the app exits after its
// stop signal.
func shutdownStarts(e *supervisor.Event) bool {
	return e.Kind == supervisor.StopRequested || e.Kind == supervisor.AppExited || e.Kind == supervisor.StartupFailed
}

// The Makefile sets these variables.
var versionTag, commit string

// version returns the line that --version prints. It has the form of tini's line, because
// usher can replace tini as the init of "docker run --init". dockerd runs that init with
// --version, and "docker info" shows the text after " - git." as the init's commit.
func version() string {
	tag, revision := versionTag, commit
	if info, ok := debug.ReadBuildInfo(); ok && tag == "" {
		tag = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return fmt.Sprintf("usher %s - git.%s", cmp.Or(tag, "unknown"), cmp.Or(revision, "unknown"))
}

// rearmNetpoll avoids a useless wake-up while the app runs. After a probe, a thread of the
// runtime may sleep in epoll_wait(2) until the probe's timeout, although the timer of that
// timeout has been stopped. A new timer that expires earlier interrupts the wait. Once the
// new timer has expired, no timer is left, and the thread sleeps without a timeout.
func rearmNetpoll() { time.AfterFunc(time.Millisecond, func() {}) }
