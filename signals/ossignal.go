//go:build (!amd64 && !arm64) || purego

package signals

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// notDelivered returns an error with the reason if sig cannot be received. Either
// os/signal never delivers sig, or the kernel or the Go runtime also sends sig because of
// this process's own actions, and os/signal does not report the sender.
func notDelivered(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGURG:
		return errors.New("SIGURG is used by the Go runtime to preempt goroutines, and cannot be distinguished from that here")
	case syscall.SIGPIPE, syscall.SIGXFSZ:
		return fmt.Errorf("the kernel sends %s for usher's own writes, and it cannot be distinguished from that here", Name(sig))
	case syscall.SIGPROF:
		return errors.New("SIGPROF is used by the Go runtime's profiler here")
	case 32, 33, rtMin:
		return fmt.Errorf("%s is not delivered by the Go runtime here", Name(sig))
	}
	return nil
}

func open(isControl func(syscall.Signal) bool) (*Inbox, error) {
	child := make(chan os.Signal, childBuffer)
	ctrl := make(chan os.Signal, controlBuffer)
	other := make(chan os.Signal, otherBuffer) // large, because os/signal drops a signal if the channel is full
	// dropped is never read. Because of Notify for SIGPIPE and SIGXFSZ, a write to a stdout
	// or stderr without a reader, or beyond RLIMIT_FSIZE, returns an error and does not end
	// the program. signal.Ignore would have the same effect, but the app would inherit the
	// ignored signals.
	dropped := make(chan os.Signal, 1)
	signal.Notify(dropped, syscall.SIGPIPE, syscall.SIGXFSZ)
	signal.Notify(child, syscall.SIGCHLD)

	// os/signal drops a signal whose channel is full. So each control signal has a
	// channel of its own, which is full only if it already holds that signal.
	done := make(chan struct{})
	listening := []chan os.Signal{child, other, dropped}
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		switch {
		case CheckReceivable(sig) != nil:
		case isControl(sig):
			one := make(chan os.Signal, 1)
			signal.Notify(one, sig)
			listening = append(listening, one)
			go forwardUntil(done, one, ctrl)
		default:
			signal.Notify(other, sig)
		}
	}
	return &Inbox{
		Child: child, Control: ctrl, Other: other,
		stop: func() {
			for _, c := range listening {
				signal.Stop(c)
			}
			close(done)
		},
	}, nil
}

func forwardUntil(done <-chan struct{}, from <-chan os.Signal, to chan<- os.Signal) {
	for {
		select {
		case sig := <-from:
			select {
			case to <- sig:
			case <-done:
				return
			}
		case <-done:
			return
		}
	}
}

// WithInheritedSignals only calls f, because in this build the signal mask and the ignored
// signals at the start of the process are not known.
func WithInheritedSignals(f func()) { f() }

// InheritedClosedFDs returns false for all descriptors. In this build no code of this package
// runs before the Go runtime, which opens /dev/null for each closed one of the descriptors 0, 1
// and 2. After that, nobody can tell which of them were closed.
func InheritedClosedFDs() (closed [3]bool) { return closed }

// InjectedEnvVars returns 0, because in this build the package adds no variables to the
// environment.
func InjectedEnvVars() int { return 0 }
