package signals_test

import (
	"fmt"
	"os"
	"syscall"

	"github.com/usher-init/usher/signals"
)

// Parse accepts all common forms of a signal's name or number. Name returns the usual form.
func ExampleParse() {
	for _, text := range []string{"TERM", "sigquit", "28", "RTMIN+3", "SIGRTMAX-1", "TREM"} {
		sig, err := signals.Parse(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(int(sig), signals.Name(sig))
	}
	// Output:
	// 15 SIGTERM
	// 3 SIGQUIT
	// 28 SIGWINCH
	// 37 SIGRTMIN+3
	// 63 SIGRTMAX-1
	// unknown signal "TREM": write a name (TERM, SIGTERM, RTMIN+3) or a number from 1 to 64
}

// The platform sends SIGHUP for a reload, but the app reloads on SIGUSR1. SIGWINCH is
// not forwarded to the app.
func ExampleRewrite() {
	rewrite := signals.Rewrite{}
	for _, text := range []string{"HUP:USR1", "WINCH:0"} {
		from, to, err := signals.ParseRewrite(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		rewrite[from] = to
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGWINCH, syscall.SIGUSR2} {
		to, ok := rewrite.Apply(sig)
		if !ok {
			fmt.Println(signals.Name(sig), "is dropped")
			continue
		}
		fmt.Println(signals.Name(sig), "is forwarded as", signals.Name(to))
	}
	// Output:
	// SIGHUP is forwarded as SIGUSR1
	// SIGWINCH is dropped
	// SIGUSR2 is forwarded as SIGUSR2
}

// CheckReceivable rejects signals that cannot be received, and SIGCHLD, which is not for the
// app. A setting for such a signal would have no effect.
func ExampleCheckReceivable() {
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL, syscall.SIGCHLD} {
		fmt.Println(signals.Name(sig), signals.CheckReceivable(sig))
	}
	// Output:
	// SIGQUIT <nil>
	// SIGKILL SIGKILL cannot be caught by any process
	// SIGCHLD SIGCHLD is not for the app: it means that a child of usher has exited
}

func ExampleOpen() {
	inbox, err := signals.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inbox.Close()

	_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	sig := <-inbox.Other
	fmt.Println(signals.Name(sig.(syscall.Signal)))
	// Output: SIGUSR1
}
