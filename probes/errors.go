package probes

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// A probeError is an error whose text holds no secret.
type probeError struct {
	text  string
	errno error // for errors.Is and errors.As; usually a syscall.Errno; may be nil
}

func (e probeError) Error() string { return e.text }
func (e probeError) Unwrap() error { return e.errno }

// A timeoutError is the cause of a context of withTimeout whose timeout has expired.
type timeoutError time.Duration

func (t timeoutError) Error() string        { return "timed out after " + time.Duration(t).String() }
func (t timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// withTimeout returns a context that ends after d, with a timeoutError as its cause. If d
// is 0, there is no timeout.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, timeoutError(d))
}

// hasEnded reports whether ctx has ended. If the deadline of ctx has passed, hasEnded waits
// until ctx has ended, because the network poller may report the deadline before the
// context's timer fires.
func hasEnded(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// errOrCause returns err, or the cause of ctx if ctx has ended, because err is then only a
// consequence of that end. It always returns err if err is nil or a fileTimeoutError. The
// latter says more than the cause: that a file system did not respond.
func errOrCause(ctx context.Context, err error) error {
	var slow fileTimeoutError
	if err == nil || errors.As(err, &slow) || !hasEnded(ctx) {
		return err
	}
	return context.Cause(ctx)
}

// sanitizeErr returns only the reason of a network or file error. It drops the address, path
// or URL that Go puts before the reason, because these may be secret.
func sanitizeErr(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &errno):
		return probeError{errno.Error(), errno}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return hintedError{probeError{"the connection was closed before the response was complete", nil}, hintClosed}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return probeError{"timed out", context.DeadlineExceeded}
	}
	return probeError{"connection failed", nil}
}
