package supervisor

import (
	"context"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Ask probes all targets once, concurrently. It returns nil if all of them are ready,
// else an error with the reasons (see [probes.Ask]). It is meant for a HEALTHCHECK or an
// exec probe. It returns early with a StopError if SIGTERM, SIGINT, SIGQUIT or SIGHUP is
// received, and with the cause of ctx if ctx ends.
//
// Of c only Env, Signals and Output are used. Like [Run], Ask reaps every child of the
// process. So Ask and Run must not run at the same time.
func Ask(ctx context.Context, c Config, targets []probes.Target) error {
	c = Config{Env: c.Env, Signals: c.Signals, Output: c.Output}
	if c.Signals == nil {
		inbox, err := signals.Open()
		if err != nil {
			return err
		}
		defer inbox.Close()
		c.Signals = inbox
	}
	s := newSupervisor(c, newSystem())
	defer close(s.loop.done)
	askCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.stop = stop
	s.loop.onSignal = s.signalBeforeApp
	attempt := s.attempt(s.phase, nil)
	// The process groups of commands that timed out have got SIGTERM, and would get SIGKILL
	// after hookKillDelay (1 s). Send SIGKILL now, because the program exits after Ask.
	defer func() {
		for pgid := range s.loop.pending {
			s.loop.killPendingGroup(pgid)
		}
	}()
	return s.runUntil(askCtx, never, func(ctx context.Context) error {
		return probes.Ask(ctx, targets, attempt)
	})
}
