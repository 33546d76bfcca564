package supervisor

import (
	"context"
	"time"
)

// cgroupTimeout is the time limit for reading the cgroup's files.
const cgroupTimeout = 50 * time.Millisecond

// reportOutOfMemory emits an OutOfMemory event if, since the app's start, the kernel has
// killed processes of the container for lack of memory. It reads the cgroup's files only if
// the app failed and was not killed by usher, so that other exits are not delayed.
func (s *supervisor) reportOutOfMemory(ctx context.Context) {
	if s.app.pid == 0 || s.app.killed || s.app.exit == (Exit{}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cgroupTimeout)
	defer cancel()
	e := Event{Kind: OutOfMemory, Exit: s.app.exit}
	j := s.loop.spawn(func() error {
		e.Count, e.Limit = s.loop.sys.outOfMemory()
		return nil
	})
	if s.loop.until(ctx, j.hasEnded) == nil && e.Count > 0 {
		s.emit(e)
	}
}
