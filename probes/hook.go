package probes

import (
	"context"
	"fmt"
	"time"
)

// RunHook runs a hook. After a failure it retries the hook up to t.Retries times, with the
// same delays as Wait. If all tries fail, RunHook returns the error of the last one. t.Timeout
// covers all tries and delays; a.Timeout is not used. If a t.Timeout of 10 s expires during
// the first try, the error is "timed out after 10s". If it expires later, this text is followed
// by the error of the previous try. If ctx ends first, the cause of ctx replaces the text.
func RunHook(ctx context.Context, t Target, a Attempt) error {
	ctx, cancel := withTimeout(ctx, t.Timeout)
	defer cancel()
	a.Timeout = 0 // t.Timeout covers the whole hook, lookups included
	delays := backoff{interval: t.Interval}
	var last error
	for tries := 0; ; tries++ {
		begun := time.Now()
		err := t.Probe.Ask(ctx, a)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			if last == nil {
				return errOrCause(ctx, err)
			}
			break
		}
		if last = err; tries >= t.Retries {
			return last
		}
		if now := time.Now(); sleep(ctx, delays.next(err, now.Sub(begun), now)) != nil {
			break
		}
	}
	return fmt.Errorf("%w, the try before failed: %w", context.Cause(ctx), last)
}
