package supervisor

import (
	"context"
	"errors"
	"slices"
	"time"
)

// socket is a TCP socket in usher's network namespace.
type socket struct {
	state uint8  // include/net/tcp_states.h
	port  uint16 // the local port
}

// TCP states as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpListen = 10
	// busyStates are the states in which data may still have to be received or sent:
	// ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK and CLOSING. In the other states the
	// connection is not established yet, or the client has acknowledged all data.
	busyStates = 1<<1 | 1<<4 | 1<<8 | 1<<9 | 1<<11
)

const (
	// pollInterval is the usual pause between two counts of the connections. usher polls
	// them, because notification of closed sockets needs CAP_NET_ADMIN. A connection that
	// is opened and closed within a pause is not counted.
	pollInterval = 100 * time.Millisecond
	// pollPauseFactor bounds the CPU time of polling. If a poll took long, the next pause
	// is the duration of that poll times pollPauseFactor, but at most the rest of
	// DrainIdle.
	pollPauseFactor = 10
)

// listeningPorts returns the ports with a listening socket, except those of IdleExcept.
func (s *supervisor) listeningPorts(all []socket) []uint16 {
	var ports []uint16
	for _, k := range all {
		if k.state == tcpListen && !slices.Contains(s.cfg.IdleExcept, k.port) && !slices.Contains(ports, k.port) {
			ports = append(ports, k.port)
		}
	}
	return ports
}

// busyConnections counts the connections whose local port is one of ports and whose state
// is one of busyStates.
func busyConnections(all []socket, ports []uint16) int {
	n := 0
	for _, k := range all {
		if busyStates&(1<<k.state) != 0 && slices.Contains(ports, k.port) {
			n++
		}
	}
	return n
}

// sockets lists the sockets in a goroutine, because listing many of them is slow.
func (s *supervisor) sockets(ctx context.Context) ([]socket, error) {
	var all []socket
	j := s.loop.spawn(func() (err error) {
		all, err = s.loop.sys.sockets()
		return err
	})
	if err := s.loop.until(ctx, func() bool { return j.done || s.appExited() }); err != nil {
		return nil, err
	}
	if !j.done {
		return nil, errAppExited
	}
	return all, j.err
}

// portsAtDrainStart returns the listening ports when the drain begins, because later the
// app may have closed its listening sockets and still have clients.
func (s *supervisor) portsAtDrainStart(drainCtx context.Context) []uint16 {
	if s.cfg.DrainIdle == 0 {
		return nil
	}
	all, _ := s.sockets(drainCtx)
	return s.listeningPorts(all)
}

// waitIdle lets the app keep serving until no client has been connected to ports for
// DrainIdle.
func (s *supervisor) waitIdle(drainCtx context.Context, ports []uint16) {
	if s.cfg.DrainIdle == 0 || drainCtx.Err() != nil || s.appExited() {
		return
	}
	began := time.Now()
	s.emit(Event{Kind: IdleStarted, Took: s.cfg.DrainIdle})
	open, err := 0, errPollAgain
	for since := began; err == errPollAgain; {
		polled := time.Now()
		all, failed := s.sockets(drainCtx)
		if drainCtx.Err() != nil || s.appExited() {
			err = failed
			break
		}
		if failed != nil {
			s.warn(cannotCount + failed.Error())
			return
		}
		if ports == nil { // portsAtDrainStart failed or found none
			ports = s.listeningPorts(all)
		}
		if open = busyConnections(all, ports); open > 0 {
			since = time.Now()
		}
		pause := max(pollInterval, pollPauseFactor*time.Since(polled))
		err = s.untilNextPoll(drainCtx, min(pause, s.cfg.DrainIdle-time.Since(since)))
	}
	s.emit(Event{Kind: IdleFinished, Took: time.Since(began), Count: open, Err: err})
}

const cannotCount = "--drain-idle: connections cannot be counted here, and are not waited for: "

// errPollAgain is the cause of pauseCtx when a pause between two polls is over.
var errPollAgain = errors.New("time to poll again")

// untilNextPoll waits for the pause and then returns errPollAgain. If the pause is 0 or
// negative, DrainIdle has passed, and untilNextPoll returns nil. It returns another error
// if the app has exited or drainCtx has ended.
func (s *supervisor) untilNextPoll(drainCtx context.Context, pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	pauseCtx, cancel := context.WithTimeoutCause(drainCtx, pause, errPollAgain)
	defer cancel()
	if err := s.loop.until(pauseCtx, s.appExited); err != nil {
		return err
	}
	return errAppExited
}
