package signals

import (
	"os"
	"os/signal"
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
	// Other gets every other signal that is [Forwardable].
	Other <-chan os.Signal

	stop func() // ends the listening; nil in an Inbox made by hand
}

// Buffers of the channels. os/signal drops what does not fit, so they hold what
// may come while the reader is busy, or while the app is not there yet.
const (
	childBuffer   = 1 // a level; a second one would say nothing new
	controlBuffer = 64
	otherBuffer   = 4096
)

// control lists the signals of [Inbox.Control].
var control = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

// Open starts the listening. There is one Inbox in a process: it takes all the
// signals there are.
func Open() *Inbox {
	child := make(chan os.Signal, childBuffer)
	ctrl := make(chan os.Signal, controlBuffer)
	other := make(chan os.Signal, otherBuffer)
	// Nobody reads broken. Without a Notify for SIGPIPE a write to a closed
	// stdout or stderr ends a Go program; with it the write fails with EPIPE.
	// To ignore the signal would do as well, but the app would inherit that.
	broken := make(chan os.Signal, 1)

	// Control first: until it is registered a TERM is fatal.
	signal.Notify(ctrl, control...)
	signal.Notify(child, syscall.SIGCHLD)
	signal.Notify(broken, syscall.SIGPIPE)
	signal.Notify(other, others()...)

	return &Inbox{
		Child: child, Control: ctrl, Other: other,
		stop: func() {
			for _, c := range []chan os.Signal{child, ctrl, other, broken} {
				signal.Stop(c)
			}
		},
	}
}

// Close ends the listening. Signals that have arrived stay readable; those that
// come later have the Go runtime's default effect, which for most is death.
func (in *Inbox) Close() {
	if in.stop != nil {
		in.stop()
	}
}

// others lists what goes to [Inbox.Other]. SIGURG is not among them, or the
// runtime would wake us with its own, many times a second. Those that os/signal
// never delivers (see [Receivable]) are: asking for them does no harm.
func others() []os.Signal {
	var list []os.Signal
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		if Forwardable(sig) && !isControl(sig) {
			list = append(list, sig)
		}
	}
	return list
}

func isControl(sig syscall.Signal) bool {
	for _, c := range control {
		if c == sig {
			return true
		}
	}
	return false
}
