package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/usher-init/usher/supervisor"
)

// roles are what the test binary does instead of testing, by the name by which it is
// called.
var roles = map[string]func(){
	"usher": main,
	"blocked": func() { // a supervisor that is blocked when its shutdown begins
		guardDeadline(&supervisor.Config{Grace: time.Second}, supervisor.Event{Kind: supervisor.StopRequested})
		select {}
	},
}

func TestMain(m *testing.M) {
	if role := roles[filepath.Base(os.Args[0])]; role != nil {
		role()
	}
	handleIgnoredSignals()
	os.Exit(m.Run())
}

// handleIgnoredSignals gives the processes that tests start the default action of
// each signal that the tests were started with ignored: by nohup, or by a shell that
// started them in the background. execve(2) resets signals that are handled, and
// keeps those that are ignored.
func handleIgnoredSignals() {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig) // which nobody reads, so the tests still ignore it
		}
	}
}
