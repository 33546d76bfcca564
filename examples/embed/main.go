// Embed is a program of its own that leads the life of another one: timeout(1),
// but with a drain, by the packages supervisor and probes.
//
// Run this:
//
//	go run ./examples/embed 1s sh -c 'echo serving; exec sleep 1000'
//
// Expect this after a second, and exit status 143:
//
//	embed: sh started, pid 4711
//	serving
//	embed: shutting down
//	embed: drain: told the load balancer
//	embed: sh was killed by SIGTERM
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

func main() {
	inbox, err := signals.Open() // first of all: until then SIGTERM ends a Go program
	if err != nil {
		fail(err)
	}
	if len(os.Args) < 3 {
		fail("usage: embed DURATION COMMAND [ARG...]")
	}
	command := os.Args[2:]
	limit, err := probes.ParseDuration(os.Args[1])
	if err != nil {
		fail(err)
	}
	drain, err := probes.Parse("echo told the load balancer", probes.ForEnd)
	if err != nil {
		fail(err)
	}

	// The end of the context counts as a SIGTERM; a real one does as well.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	code, why := supervisor.Run(ctx, supervisor.Config{
		Command: command,
		Drain:   []probes.Target{drain},
		Grace:   5 * time.Second,
		Signals: inbox,
		Output:  func(l supervisor.Line) { say("%v: %s", l.Phase, l.Text) },
		Observe: func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.AppStarted:
				say("%s started, pid %d", command[0], e.PID)
			case supervisor.StopRequested:
				say("shutting down")
			case supervisor.AppExited:
				say("%s %v", command[0], e.Exit)
			}
		},
	})
	if failed := new(supervisor.PhaseError); errors.As(why, &failed) {
		say("%v", failed) // it could not be started, for one
	}
	os.Exit(code)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "embed: "+format+"\n", args...) }

func fail(why any) {
	say("%v", why)
	os.Exit(supervisor.CodeFault)
}
