// Embed runs a command with a time limit, like timeout(1), and runs a drain hook before it
// stops the command. It uses the packages supervisor, probes and signals.
//
// Run this:
//
//	go run ./examples/embed 1s sh -c 'echo serving; exec sleep 1000'
//
// Expect this, with the line "shutting down" after a second. The program exits with 143, and
// go run, which prints "exit status 143", with 1:
//
//	embed: sh started, pid 4711
//	serving
//	embed: shutting down
//	embed: drain: deregistered
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
	inbox, err := signals.Open() // the first call, because SIGTERM terminates this process until Open has returned
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
	drain, err := probes.Parse("echo deregistered", probes.ForEnd)
	if err != nil {
		fail(err)
	}

	// When ctx ends, Run shuts down as it does after SIGTERM.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	code, reason := supervisor.Run(ctx, supervisor.Config{
		Command: command,
		Drain:   []probes.Target{drain},
		Grace:   5 * time.Second,
		Signals: inbox,
		Output:  func(l supervisor.Line) { logf("%v: %s", l.Phase, l.Text) },
		Observe: func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.AppStarted:
				logf("%s started, pid %d", command[0], e.PID)
			case supervisor.StopRequested:
				logf("shutting down")
			case supervisor.AppExited:
				logf("%s %v", command[0], e.Exit)
			}
		},
	})
	if failed := new(supervisor.PhaseError); errors.As(reason, &failed) {
		logf("%v", failed) // why the app was not started, for example because the command was not found
	}
	os.Exit(code)
}

func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "embed: "+format+"\n", args...) }

func fail(reason any) {
	logf("%v", reason)
	os.Exit(supervisor.CodeFault)
}
