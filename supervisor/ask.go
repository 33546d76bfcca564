package supervisor

import (
	"context"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Ask probes each target once, all at the same time, and returns nil if all are
// ready, else the reasons, as [probes.Ask] does: for a HEALTHCHECK or an exec probe. A
// stop signal ends it with a StopError, and so does the end of ctx.
//
// Of c, only Env, Signals and Output count. Like [Run], which must not run at the same
// time, it reaps every child of the process.
func Ask(ctx context.Context, c Config, targets []probes.Target) error {
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
	// SIGKILL for what an overrunning command has left: nobody stays to send it later.
	defer func() {
		for pgid := range s.loop.pending {
			s.loop.killPendingGroup(pgid)
		}
	}()
	return s.runUntil(askCtx, never, func(ctx context.Context) error {
		return probes.Ask(ctx, targets, attempt)
	})
}
