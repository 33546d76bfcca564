package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// pollInterval is the usual pause between two polls. usher polls the connections, because
	// notification of closed sockets needs CAP_NET_ADMIN.
	pollInterval = 100 * time.Millisecond
	// pollPauseFactor bounds the CPU time of polling. If a poll took long, the next pause is
	// the duration of that poll times pollPauseFactor. There is one exception, so that the drain
	// does not last longer than needed: if usher waits for idle clients (waitIdle), and no client
	// waits for an answer, the pause ends as soon as the clients may have been idle for DrainIdle.
	pollPauseFactor = 10
	// ownersTime bounds the search for the processes that listen on a port.
	ownersTime = 500 * time.Millisecond
)

// idleWatch polls the connections from the beginning of the drain on, so that it knows
// their state when the drain hooks have finished. All methods run in the loop.
type idleWatch struct {
	s       *supervisor
	clients clients
	began   time.Time // when waitIdle began; zero: not yet
	polls   int       // the number of polls that have ended; a timer of pollLater does nothing if a poll has ended since the timer was set
	polling bool      // a poll is in progress
	isIdle  bool      // the last poll showed that the clients have been idle for DrainIdle
	err     error     // why the last poll failed
	stopped bool
	warned  map[Kind]bool
}

// watchConnections starts to poll the connections, and waits for the first poll. The
// first poll also finds the ports of the app, because later the app may have closed its
// listening sockets and still have clients. watchConnections returns nil without DrainIdle.
func (s *supervisor) watchConnections(drainCtx context.Context) *idleWatch {
	if s.cfg.DrainIdle == 0 {
		return nil
	}
	w := &idleWatch{s: s, warned: map[Kind]bool{}}
	w.clients.idleTime, w.clients.longest = s.cfg.DrainIdle, max(longestAnswer, s.budget.Drain)
	w.poll()
	s.loop.until(drainCtx, func() bool { return !w.polling || s.appExited() })
	return w
}

// poll lists the connections in a goroutine, because listing many of them is slow. It first
// reads the number of all connections that were opened (network), and then how many of them
// --health has accepted (IdleAccepted). In the opposite order, a connection to --health that is
// accepted between the two readings would count as one to the app.
func (w *idleWatch) poll() {
	var (
		n         network
		owned     map[uint32]bool
		accepted  int64
		ownersErr error
		first     = w.clients.ports == nil
		began     = time.Now()
	)
	w.polling = true
	w.s.loop.spawnThen(func() (err error) {
		if n, err = w.s.loop.sys.network(); err != nil {
			return err
		}
		if w.s.cfg.IdleAccepted != nil {
			accepted = w.s.cfg.IdleAccepted()
		}
		if first {
			ctx, cancel := context.WithTimeout(context.Background(), ownersTime)
			defer cancel()
			owned, ownersErr = w.s.loop.sys.socketInodes(ctx)
		}
		return nil
	}, func(err error) {
		w.polling = false
		w.polls++
		if w.err = err; err == nil && !w.stopped {
			if first {
				w.findPorts(n.sockets, owned, ownersErr)
			}
			w.evaluate(n, accepted, began)
		}
		w.pollLater(time.Since(began))
	})
}

// findPorts finds the ports on which a process of the container listens, except those in
// IdleExcept. owned has the inodes of the sockets of these processes. If err is not nil, the
// descriptors of some process could not be read. That process may have any listening socket
// that is not in owned, so findPorts then takes the ports of all listening sockets.
func (w *idleWatch) findPorts(all []socket, owned map[uint32]bool, err error) {
	ports := []uint16{} // not nil, even without ports, because poll repeats the search while clients.ports is nil
	others := false
	for _, k := range all {
		if k.state != tcpListen || slices.Contains(w.s.cfg.IdleExcept, k.port) || slices.Contains(ports, k.port) {
			continue
		}
		if owned[k.inode] || err != nil {
			ports = append(ports, k.port)
		}
		others = others || !owned[k.inode]
	}
	if w.clients.ports = ports; err != nil && others {
		w.warn(Event{Kind: IdlePortsUnknown, Err: err})
	}
}

// evaluate evaluates a poll that began at polledAt. The poll may not show what clients have
// done since then, and it can take long if the container has little CPU time. So the clients
// count as idle only if DrainIdle had passed when the poll began.
func (w *idleWatch) evaluate(n network, accepted int64, polledAt time.Time) {
	now := time.Now()
	w.clients.update(n, accepted, now)
	if n.opensErr != nil {
		w.warn(Event{Kind: IdleOpensUnknown, Err: n.opensErr})
	}
	if w.clients.uncounted {
		w.warn(Event{Kind: IdleBytesUnknown})
	}
	w.isIdle = !w.began.IsZero() && w.clients.owed == 0 && w.clients.rest(w.began, polledAt) <= 0
}

// cannotPoll reports whether every poll has failed. If only the last ones have failed, for
// example because descriptors or memory were used up, usher polls again, because requests
// may be open.
func (w *idleWatch) cannotPoll() bool { return w.err != nil && !w.polling && !w.clients.polled }

// warn emits an event unless an event of this kind has been emitted.
func (w *idleWatch) warn(e Event) {
	if !w.warned[e.Kind] {
		w.warned[e.Kind] = true
		w.s.emit(e)
	}
}

// pollLater starts the next poll after a pause.
func (w *idleWatch) pollLater(took time.Duration) {
	pause := max(pollInterval, pollPauseFactor*took)
	if !w.began.IsZero() && w.clients.owed == 0 && w.err == nil {
		pause = min(pause, max(w.clients.rest(w.began, time.Now()), time.Millisecond))
	}
	polls := w.polls
	w.s.loop.after(pause, func() {
		if !w.stopped && !w.isIdle && !w.polling && w.polls == polls {
			w.poll()
		}
	})
}

// waitIdle lets the app keep serving until no client waits for an answer, and for DrainIdle
// no client has sent or received a byte or opened a connection. It returns earlier if drainCtx
// ends, if the app exits, or if no poll has succeeded (see cannotPoll).
func (s *supervisor) waitIdle(drainCtx context.Context, w *idleWatch) {
	if w == nil {
		return
	}
	defer func() { w.stopped = true }()
	if drainCtx.Err() != nil || s.appExited() {
		return
	}
	w.began = time.Now()
	s.emit(Event{Kind: IdleStarted, Took: s.cfg.DrainIdle})
	if !w.polling {
		w.poll()
	}
	err := s.loop.until(drainCtx, func() bool { return w.isIdle || s.appExited() || w.cannotPoll() })
	switch {
	case err == nil && s.appExited():
		err = errAppExited
	case err == nil && w.cannotPoll():
		s.warn(fmt.Sprint(cannotCount, w.err))
		return
	}
	s.emit(Event{Kind: IdleFinished, Took: time.Since(w.began), Count: w.clients.owed, Active: w.clients.active, Err: err})
}

const cannotCount = "--drain-idle: connections cannot be counted here, and are not waited for: "
