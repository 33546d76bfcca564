package supervisor

import (
	"context"
	"errors"
	"slices"
	"time"
)

// socket is a TCP socket of the network namespace: its state and its local port.
type socket struct {
	state uint8
	port  uint16
}

// States of TCP as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpListen = 10
	// busyStates are those in which something may still have to be received or sent:
	// ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK and CLOSING. In the others nobody
	// has connected yet, or the other side has all that it was sent.
	busyStates = 1<<1 | 1<<4 | 1<<8 | 1<<9 | 1<<11
)

const (
	// idleLook is how often connections are counted. They are polled, because
	// notification of closed sockets needs CAP_NET_ADMIN. A connection that is shorter
	// may not be seen.
	idleLook = 100 * time.Millisecond
	// idleEffort: a pause is so many times as long as a look took, to bound the CPU
	// that looking uses; the app still has work to do.
	idleEffort = 10
)

// listeningPorts are the ports on which somebody listens, but those of IdleExcept.
func (s *supervisor) listeningPorts(all []socket) []uint16 {
	var ports []uint16
	for _, k := range all {
		if k.state == tcpListen && !slices.Contains(s.cfg.IdleExcept, k.port) && !slices.Contains(ports, k.port) {
			ports = append(ports, k.port)
		}
	}
	return ports
}

// busyConnections counts the connections to ports.
func busyConnections(all []socket, ports []uint16) int {
	n := 0
	for _, k := range all {
		if busyStates&(1<<k.state) != 0 && slices.Contains(ports, k.port) {
			n++
		}
	}
	return n
}

// sockets lists the sockets, beside the loop: there may be very many.
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

// portsAtDrainStart is what the app serves when the drain begins: later it may have
// closed its ports, and still have clients.
func (s *supervisor) portsAtDrainStart(drainCtx context.Context) []uint16 {
	if s.cfg.DrainIdle == 0 {
		return nil
	}
	all, _ := s.sockets(drainCtx)
	return s.listeningPorts(all)
}

// waitIdle lets the app keep serving until nobody has been connected to ports for
// DrainIdle.
func (s *supervisor) waitIdle(drainCtx context.Context, ports []uint16) {
	if s.cfg.DrainIdle == 0 || drainCtx.Err() != nil || s.appExited() {
		return
	}
	began := time.Now()
	s.emit(Event{Kind: IdleStarted, Took: s.cfg.DrainIdle})
	open, err := 0, errLook
	for since := began; err == errLook; {
		looked := time.Now()
		all, failed := s.sockets(drainCtx)
		if drainCtx.Err() != nil || s.appExited() {
			err = failed
			break
		}
		if failed != nil {
			s.warn(cannotCount + failed.Error())
			return
		}
		if ports == nil { // the first look failed, or there was no port to see
			ports = s.listeningPorts(all)
		}
		if open = busyConnections(all, ports); open > 0 {
			since = time.Now()
		}
		pause := max(idleLook, idleEffort*time.Since(looked))
		err = s.untilNextLook(drainCtx, min(pause, s.cfg.DrainIdle-time.Since(since)))
	}
	s.emit(Event{Kind: IdleFinished, Took: time.Since(began), Count: open, Err: err})
}

const cannotCount = "--drain-idle: connections cannot be counted here, and are not waited for: "

// errLook ends a pause between two looks.
var errLook = errors.New("time to look again")

// untilNextLook waits for a pause and then returns errLook; nil, if there is nothing
// to wait for; else why there will be no further look.
func (s *supervisor) untilNextLook(drainCtx context.Context, pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	lookCtx, cancel := context.WithTimeoutCause(drainCtx, pause, errLook)
	defer cancel()
	if err := s.loop.until(lookCtx, s.appExited); err != nil {
		return err
	}
	return errAppExited
}
