package signals

import (
	"os"
	"slices"
	"syscall"
)

// Inbox has the channels on which the signals of this process arrive. Tests make an
// Inbox from plain channels, without [Open].
type Inbox struct {
	// Child gets SIGCHLD. One value may stand for several children that have exited, stopped or
	// continued, so the receiver must call wait4(2) until it reports no further child.
	Child <-chan os.Signal
	// Control gets TERM, INT, QUIT, HUP and the signals given to [Open]. On these signals an
	// init stops waiting or shuts down. They have a channel of their own, so that a flood of
	// other signals cannot delay them.
	Control <-chan os.Signal
	// Other gets every other signal for which [CheckReceivable] returns nil.
	Other <-chan os.Signal

	stop func() // undoes Open; nil if the Inbox was not made by Open
}

// Capacities of the channels. A channel must hold the signals that arrive while the
// receiver handles one signal.
const (
	childBuffer   = 1 // 1 is enough, because one SIGCHLD makes the receiver handle all children: see Inbox.Child
	controlBuffer = 64
	otherBuffer   = 4096
)

// control lists the signals of [Inbox.Control] besides those given to Open.
var control = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

// Open starts to receive the signals of this process. The signals in stopOn are received
// on [Inbox.Control]. A signal in stopOn that cannot be received has no effect. A process
// can have one open Inbox at a time.
//
// Open fails if it cannot make its pipes, because no file descriptors are left or
// epoll_ctl(2) fails. Where the package uses os/signal, Open makes no pipes and never fails.
func Open(stopOn ...syscall.Signal) (*Inbox, error) {
	return open(func(sig syscall.Signal) bool {
		return slices.Contains(control, sig) || slices.Contains(stopOn, sig)
	})
}

// Close stops receiving signals. Signals that are in the channels can still be read. Later
// signals have their default effect in a Go program. Most of them end the program.
func (in *Inbox) Close() {
	if in.stop != nil {
		in.stop()
	}
}
