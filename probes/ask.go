package probes

import (
	"context"
	"errors"
	"fmt"
)

// Ask asks each target once, all at the same time. It returns nil when all
// have said yes, else an error that joins what the others have said, in the
// order of the targets, each as "NAME: why not".
func Ask(ctx context.Context, targets []Target, a Attempt) error {
	answers := make([]error, len(targets))
	done := make(chan struct{})
	for i := range targets {
		go func() {
			answers[i] = askOnce(ctx, &targets[i], a)
			done <- struct{}{}
		}()
	}
	for range targets {
		<-done
	}
	return errors.Join(answers...)
}

func askOnce(ctx context.Context, t *Target, a Attempt) error {
	a.Timeout = t.Timeout
	if err := t.Probe.Ask(ctx, a); err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	return nil
}
