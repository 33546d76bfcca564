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
	// quietLook is how often connections are counted: nobody tells of their ends, but
	// to those who may look into other people's. One that is shorter may not be seen.
	quietLook = 100 * time.Millisecond
	// quietEffort is how many times as long as it takes to look nobody looks: the app
	// still has work to do.
	quietEffort = 10
)

// served are the ports at which somebody listens, but those of QuietExcept.
func (l *life) served(all []socket) []uint16 {
	var ports []uint16
	for _, s := range all {
		if s.state == tcpListen && !slices.Contains(l.QuietExcept, s.port) && !slices.Contains(ports, s.port) {
			ports = append(ports, s.port)
		}
	}
	return ports
}

// clients counts the connections to ports.
func clients(all []socket, ports []uint16) int {
	n := 0
	for _, s := range all {
		if busyStates&(1<<s.state) != 0 && slices.Contains(ports, s.port) {
			n++
		}
	}
	return n
}

// servedAtFirst is what the app serves when the drain begins: later it may have
// closed its ports, and still have clients.
func (l *life) servedAtFirst() []uint16 {
	if l.DrainQuiet == 0 {
		return nil
	}
	all, _ := l.sys.sockets()
	return l.served(all)
}

// quiet lets the app go on serving until nobody has been connected to ports for
// DrainQuiet.
func (l *life) quiet(by context.Context, ports []uint16) {
	if l.DrainQuiet == 0 || by.Err() != nil || l.appEnded() {
		return
	}
	began := time.Now()
	l.emit(Event{Kind: QuietStarted, Took: l.DrainQuiet})
	open, err := 0, errLook
	for since := began; err == errLook; {
		looked := time.Now()
		all, failed := l.sys.sockets()
		if failed != nil {
			l.emit(Event{Kind: Warned, Text: cannotCount + failed.Error()})
			return
		}
		if ports == nil { // the first look has failed, or there was no port to see
			ports = l.served(all)
		}
		if open = clients(all, ports); open > 0 {
			since = time.Now()
		}
		pause := max(quietLook, quietEffort*time.Since(looked))
		err = l.lookAgain(by, min(pause, l.DrainQuiet-time.Since(since)))
	}
	l.emit(Event{Kind: QuietEnded, Took: time.Since(began), Count: open, Err: err})
}

const cannotCount = "--drain-quiet: connections cannot be counted here, and are not waited for: "

// errLook ends a pause between two looks.
var errLook = errors.New("time to look again")

// lookAgain waits for a pause and then returns errLook; nil, if there is nothing to
// wait for; else why there will be no further look.
func (l *life) lookAgain(by context.Context, pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	look, release := context.WithTimeoutCause(by, pause, errLook)
	defer release()
	if err := l.until(look, l.appEnded); err != nil {
		return err
	}
	return errAppGone
}
