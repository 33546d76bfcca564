package probes

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// An answer is a no in words that hold no secret. errno is the kernel's part of
// it, for errors.Is, or nil.
type answer struct {
	text  string
	errno error
}

func (a answer) Error() string { return a.text }
func (a answer) Unwrap() error { return a.errno }

// A timeout is the cause of a context whose time is up.
type timeout time.Duration

func (t timeout) Error() string        { return "timed out after " + time.Duration(t).String() }
func (t timeout) Is(target error) bool { return target == context.DeadlineExceeded }

// limit gives an attempt its timeout; 0 means none.
func limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, timeout(d))
}

// ended reports whether ctx has ended, or is about to: the network's timers may
// fire a moment before that of the context they were set from.
func ended(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// orCause replaces the error of an attempt by the cause of its context, if that has
// ended: the error of a connection that was closed for it says nothing. A fileTimeout
// stays, because it says where the time went.
func orCause(ctx context.Context, err error) error {
	var noAnswer fileTimeout
	if err == nil || errors.As(err, &noAnswer) || !ended(ctx) {
		return err
	}
	return context.Cause(ctx)
}

// plain reduces an error of the network to what a person wants to know. The
// address, the path and the URL that Go puts in front are dropped: the caller
// names the target, and they may be secret.
func plain(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &errno):
		return answer{errno.Error(), errno}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return hinted{answer{"the connection was closed before the answer was complete", nil}, hintHungUp}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return answer{"timed out", context.DeadlineExceeded}
	}
	return answer{"no connection", nil}
}
