package probes

import (
	"context"
	"errors"
	"fmt"
)

// Ask probes each target once, all at the same time. It returns nil when all are ready.
// Otherwise it joins the errors of the targets that are not ready, in the order of
// targets, each as "NAME: reason".
func Ask(ctx context.Context, targets []Target, a Attempt) error {
	errs := make([]error, len(targets))
	done := make(chan struct{})
	for i := range targets {
		go func() {
			errs[i] = askOnce(ctx, &targets[i], a)
			done <- struct{}{}
		}()
	}
	for range targets {
		<-done
	}
	return errors.Join(errs...)
}

func askOnce(ctx context.Context, t *Target, a Attempt) error {
	a.Timeout = t.Timeout
	if err := t.Probe.Ask(ctx, a); err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	return nil
}
