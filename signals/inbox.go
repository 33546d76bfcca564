package signals

import (
	"os"
	"slices"
	"syscall"
)

// Inbox is where the signals sent to this process arrive. Tests make one by
// hand from plain channels.
type Inbox struct {
	// Child gets SIGCHLD. It is a level, not a count: one means "at least one
	// child has ended", so whoever reads it must reap until none is left.
	Child <-chan os.Signal
	// Control gets TERM, INT, QUIT and HUP, those that end a wait or begin a
	// stop. They have a channel of their own so that no flood of others,
	// however large, can crowd out a stop.
	Control <-chan os.Signal
	// Other gets every other signal that is [Receivable].
	Other <-chan os.Signal

	stop func() // ends the listening; nil in an Inbox made by hand
}

// Buffers of the channels: what may come while the reader is busy, or while the
// app is not there yet.
const (
	childBuffer   = 1 // a level; a second one would say nothing new
	controlBuffer = 64
	otherBuffer   = 4096
)

// control lists the signals of [Inbox.Control].
var control = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

func isControl(sig syscall.Signal) bool { return slices.Contains(control, sig) }

// Open starts the listening. There is one Inbox in a process: it takes all the
// signals there are.
func Open() *Inbox { return open() }

// Close ends the listening. Signals that have arrived stay readable; those that
// come later have the Go runtime's default effect, which for most is death.
func (in *Inbox) Close() {
	if in.stop != nil {
		in.stop()
	}
}
