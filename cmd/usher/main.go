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
	"os"
	"runtime/debug"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/hashicorp/go-multierror"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

func main() {
	if err := checkDescriptors(); err != nil {
		os.Exit(reportTooFew(err))
	}
	os.Exit(usher(os.Args[1:], environ()[signals.ForRuntime():], os.Stdout))
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
	inbox := signals.Open()
	log := newPrinter(os.Stderr)
	defer log.flush()

	switch {
	case o.help:
		fmt.Fprint(stdout, usage)
		return 0
	case o.version:
		fmt.Fprintln(stdout, version())
		return 0
	}

	ui := newUI(log, o)
	if !o.otherForm { // which may be run beside a life, in its container
		defer ui.last.write()
	}
	switch {
	case err != nil:
		ui.mistakes(err)
		return supervisor.CodeFault
	case len(o.probe) > 0:
		return ui.probed(supervisor.Ask(context.Background(), supervisor.Config{Env: env, Signals: inbox, Output: ui.output}, o.probe))
	case o.install != "":
		return ui.installed(install(o.install))
	case o.plan:
		fmt.Fprint(stdout, plan(&o))
		return 0
	case noThreads != nil:
		return ui.unable(noThreads)
	}
	if o.health != "" {
		h, err := listenForHealth(o.health, o.config.Readiness)
		if err != nil {
			ui.mistakes(err)
			return supervisor.CodeFault
		}
		go h.serve()
		ui.listening(o.health)
	}
	return lead(inbox, log, ui, o.config, threads)
}

// lead leads a life: from the waiting to the end.
func lead(inbox *signals.Inbox, log *printer, ui *ui, c supervisor.Config, threads *spares) int {
	c.Signals = inbox
	c.Observe = func(e supervisor.Event) {
		ui.observe(e)
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Start {
			threads.wait()
		}
		if e.Kind == supervisor.Entered && e.Phase == supervisor.Running && hasDuties(&c) {
			forgetTimers()
		}
		if e.Kind == supervisor.AppReplaces {
			log.flush()
		}
	}
	c.Output = ui.output
	c.Detach = true
	c.Self = []string{"/proc/self/exe", "--exec", "--termination-log", os.DevNull, "--"}
	code, err := supervisor.Run(context.Background(), c)
	if mistakes := (*multierror.Error)(nil); errors.As(err, &mistakes) {
		ui.mistakes(err)
	}
	return code
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
