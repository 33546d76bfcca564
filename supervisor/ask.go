package supervisor

import (
	"context"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Ask asks each target once, all at the same time, and returns nil when all say
// yes, else why not, as [probes.Ask] does: what a HEALTHCHECK or an exec probe
// wants. A stop signal ends it with a StopError, and so does the end of ctx.
//
// Of c, only Env, Signals and Output count. Like [Run], which it may not run
// beside, it reaps every child of the process.
func Ask(ctx context.Context, c Config, targets []probes.Target) error {
	if c.Signals == nil {
		c.Signals = signals.Open()
		defer c.Signals.Close()
	}
	l := newLife(c, newSystem())
	defer close(l.done)
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.stop = stop
	l.onSignal = l.signalBeforeApp
	attempt := l.attempt(l.phase, nil)
	// What a command that overran has left gets no second second: nobody would be
	// there to count it.
	defer func() {
		for pgid := range l.condemned {
			l.execute(pgid)
		}
	}()
	return l.during(asking, never, func(ctx context.Context) error {
		return probes.Ask(ctx, targets, attempt)
	})
}
