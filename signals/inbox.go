package signals

import (
	"os"
	"slices"
	"syscall"
)

// Inbox is where the signals that are sent to this process arrive. Tests make one
// by hand from plain channels.
type Inbox struct {
	// Child gets SIGCHLD. It is a level, not a count: one value means that at least
	// one child has exited, so the receiver must reap until there is none left.
	Child <-chan os.Signal
	// Control gets TERM, INT, QUIT, HUP and the signals given to [Open]: those that
	// end a wait or begin the shutdown. It is a channel of its own so that a flood of
	// other signals cannot delay them.
	Control <-chan os.Signal
	// Other gets every other signal for which [CheckReceivable] returns nil.
	Other <-chan os.Signal

	stop func() // undoes Open; nil in an Inbox made by hand
}

// Capacities of the channels. They have to hold what arrives while the receiver is
// busy with one signal.
const (
	childBuffer   = 1 // a level: a second value would add nothing
	controlBuffer = 64
	otherBuffer   = 4096
)

// control lists the signals of [Inbox.Control] beside those given to Open.
var control = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

// Open starts to receive the signals of this process. The ones in stopOn are
// received on [Inbox.Control]; one that cannot be received has no effect. A process
// has one Inbox at a time.
//
// It fails if the process or the system has no file descriptors left.
func Open(stopOn ...syscall.Signal) (*Inbox, error) {
	return open(func(sig syscall.Signal) bool {
		return slices.Contains(control, sig) || slices.Contains(stopOn, sig)
	})
}

// Close ends the receiving. Signals that have arrived can still be read from the
// channels; later ones have their default effect in a Go program, which for most of
// them is to end it.
func (in *Inbox) Close() {
	if in.stop != nil {
		in.stop()
	}
}
