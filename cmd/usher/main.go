// Usher is a tiny PID 1 for containers: it waits for what the app needs, starts
// it, forwards signals and reaps orphans, and on SIGTERM drains and stops it,
// all within one deadline. See the package supervisor for what it promises, and
// usher(1), beside this file, for how it is called.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	golog "log"
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
	// x/net/http2 prints frames through package log when GODEBUG has http2debug=2,
	// which is for the app.
	golog.SetOutput(io.Discard)
	if err := checkDescriptors(); err != nil {
		os.Exit(reportTooFew(err))
	}
	os.Exit(usher(os.Args[1:], environ()[signals.InjectedEnvVars():], os.Stdout))
}

// environ is the environment as the kernel gave it, with doubled names in it:
// os.Environ drops them, but the app is to get what usher got.
//
//go:linkname environ syscall.runtime_envs
func environ() []string

// usher is the whole program; it returns the exit status.
func usher(args, env []string, stdout io.Writer) int {
	o, err := parseOptions(args, env)
	threads, noThreads := makeThreads(&o, err == nil)
	// Until here TERM, INT, HUP and QUIT end usher, with 128+n if it began at the
	// entry of package signals, else as they end any Go program, even as PID 1.
	inbox, noSignals := signals.Open(o.config.StopOn...)
	if noSignals != nil {
		return reportTooFew(noSignals)
	}
	out := newOutput(os.Stderr)
	defer out.flush(o.config.Grace > 0)
	switch {
	case o.help:
		fmt.Fprint(stdout, usage())
		return 0
	case o.version:
		fmt.Fprintln(stdout, version())
		return 0
	}

	log := newLogger(out, o)
	if !o.otherForm { // which may be run beside a life, in its container
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
	case noThreads != nil:
		log.log(supervisor.Event{Kind: limitTooLow, Err: noThreads})
		return supervisor.CodeFault
	}
	if o.health != "" {
		h, err := listenForHealth(o.health, o.config.Readiness)
		if err != nil {
			log.usageErrors(err)
			return supervisor.CodeFault
		}
		go h.serve()
		log.log(supervisor.Event{Kind: healthListening, Text: o.health})
	}
	return supervise(inbox, out, log, o.config, threads)
}

// supervise runs the app, from the wait to the exit, and returns the exit status.
func supervise(inbox *signals.Inbox, out *output, log *logger, c supervisor.Config, threads *spares) int {
	c.Signals = inbox
	c.Observe = func(e supervisor.Event) {
		log.observe(e)
		guardDeadline(&c, e)
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Start {
			threads.wait()
		}
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Running && hasDuties(&c) {
			forgetTimers()
		}
		if e.Kind == supervisor.AppExec {
			out.flush(false)
		}
	}
	c.Output = log.hookOutput
	c.Detach = true
	c.Self = []string{"/proc/self/exe", "--exec", "--termination-log", os.DevNull, "--"}
	code, err := supervisor.Run(context.Background(), c)
	if mistakes := (*multierror.Error)(nil); errors.As(err, &mistakes) {
		log.usageErrors(err)
	}
	return code
}

// guardMargin is how far beyond --grace the process ends whatever happens. The
// supervisor has exited long before, unless something blocks it that must not.
const guardMargin = 2 * time.Second

// guardDeadline is the last resort: with the event that begins the shutdown it
// starts a timer beside the supervisor's goroutine, which ends the process. As PID 1
// that makes the kernel kill everything else. The exit code is that of SIGKILL.
func guardDeadline(c *supervisor.Config, e supervisor.Event) {
	begins := e.Kind == supervisor.StopRequested || e.Kind == supervisor.AppExited || e.Kind == supervisor.StartupFailed
	if c.Grace > 0 && begins {
		time.AfterFunc(c.Grace+guardMargin, func() { os.Exit(supervisor.Exit{Signal: syscall.SIGKILL}.Code()) })
	}
}

// Set by the Makefile.
var versionTag, commit string

// version is the line of --version. dockerd asks its init for it and wants to
// find " - git.COMMIT" in it, as tini says it, to show in "docker info".
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

// forgetTimers keeps the timers of the waiting from waking usher later. The thread
// of the runtime that sleeps in epoll_wait may have begun to when an attempt was
// under way, with the time at which that would have timed out: seconds after the
// app has started it would wake up for nothing. A new timer that is due earlier
// makes it look again, and see none.
func forgetTimers() { time.AfterFunc(time.Millisecond, func() {}) }
