package main

import (
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/supervisor"
)

// roles are functions that the test binary runs instead of the tests. The key is the name
// by which the test binary is executed.
var roles = map[string]func(){
	"usher":            main,
	"answer-on-demand": answerOnDemand,
	"usher-counted":    countedUsher,
	"rollout":          rolloutMain,
	"blocked": func() { // usher with a supervisor that hangs when its shutdown begins
		guardDeadline(&supervisor.Config{Grace: time.Second}, supervisor.Event{Kind: supervisor.StopRequested})
		select {}
	},
}

func TestMain(m *testing.M) {
	if role := roles[filepath.Base(os.Args[0])]; role != nil {
		role()
	}
	handleIgnoredSignals()
	// The processes that tests start must not inherit descriptors from the shell that runs
	// the tests. Usher needs a further thread to close such descriptors (see blockedAtOnce),
	// and some tests limit or count threads.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	os.Exit(m.Run())
}

// handleIgnoredSignals makes sure that the processes that tests start inherit no ignored
// signal. If nohup or a shell's & starts the tests, the tests inherit ignored signals.
// execve(2) keeps ignored signals, but resets signals with a handler to their default
// action. So each ignored signal gets a handler.
func handleIgnoredSignals() {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig) // nothing reads the channel, so the tests themselves still ignore the signal
		}
	}
}
