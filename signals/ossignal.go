//go:build (!amd64 && !arm64) || purego

package signals

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// notDelivered gives the reason why os/signal never delivers sig.
func notDelivered(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGURG:
		return errors.New("SIGURG is used by the Go runtime and cannot be told apart here")
	case syscall.SIGPIPE:
		return errors.New("SIGPIPE is sent by the kernel for usher's own writes and cannot be told apart here")
	case syscall.SIGPROF:
		return errors.New("SIGPROF is taken by the Go runtime's profiler here")
	case 32, 33, rtMin:
		return fmt.Errorf("%s is not delivered by the Go runtime here", Name(sig))
	}
	return nil
}

func open() *Inbox {
	child := make(chan os.Signal, childBuffer)
	ctrl := make(chan os.Signal, controlBuffer)
	other := make(chan os.Signal, otherBuffer) // os/signal drops what does not fit
	// Nobody reads broken. Without a Notify for SIGPIPE a write to a closed
	// stdout or stderr ends a Go program; with it the write fails with EPIPE.
	// To ignore the signal would do as well, but the app would inherit that.
	broken := make(chan os.Signal, 1)

	// Control first: until it is registered a TERM is fatal.
	for _, sig := range control {
		signal.Notify(ctrl, sig)
	}
	signal.Notify(child, syscall.SIGCHLD)
	signal.Notify(broken, syscall.SIGPIPE)
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		if Receivable(sig) == nil && !isControl(sig) {
			signal.Notify(other, sig)
		}
	}
	return &Inbox{
		Child: child, Control: ctrl, Other: other,
		stop: func() {
			for _, c := range []chan os.Signal{child, ctrl, other, broken} {
				signal.Stop(c)
			}
		},
	}
}

// AsInherited runs f.
func AsInherited(f func()) { f() }

// ClosedFiles reports nothing here.
func ClosedFiles() (closed [3]bool) { return closed }

// ForRuntime reports nothing here.
func ForRuntime() int { return 0 }
