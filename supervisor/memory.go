package supervisor

import (
	"context"
	"time"
)

// cgroupTimeout bounds a look at the cgroup's files.
const cgroupTimeout = 50 * time.Millisecond

// reportOutOfMemory says that the kernel has killed the app, or another process
// of the container, for lack of memory. A look costs time at every exit, so it is
// made only if the app failed and usher did not kill it.
func (l *life) reportOutOfMemory(ctx context.Context) {
	if l.app.pid == 0 || l.app.killed || l.app.exit == (Exit{}) {
		return
	}
	ctx, release := context.WithTimeout(ctx, cgroupTimeout)
	defer release()
	e := Event{Kind: OutOfMemory, Exit: l.app.exit}
	look := l.spawn(func() error {
		e.Count, e.Limit = l.sys.outOfMemory()
		return nil
	})
	if l.until(ctx, look.ended) == nil && e.Count > 0 {
		l.emit(e)
	}
}
