package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/signals"
)

// quietEventLine returns a line with the fields of an event that eventLine (fake_test.go)
// leaves out of the traces, so that TestEventsThatTheTracesLeaveOut can check them. It
// returns "" for the events that this test does not check.
func quietEventLine(e Event) string {
	sig := signals.Name(e.Signal)
	switch e.Kind {
	case Subreaper:
		return "is a subreaper"
	case TargetTried:
		return fmt.Sprintf("tried %s, attempt %d: %s", e.Target.Name, e.Attempts, errText(e.Err))
	case HookStarted:
		return "hook " + e.Target.Name + " started"
	case AppStarted:
		return fmt.Sprintf("app started, pid %d", e.PID)
	case AppExec:
		return "app is executed"
	case AppExited:
		return fmt.Sprintf("app %d exited after %v", e.PID, e.Took)
	case DelayStarted:
		return fmt.Sprintf("delay of %v started", e.Took)
	case DelayFinished:
		return fmt.Sprintf("delay finished after %v", e.Took)
	case HookFinished:
		return fmt.Sprintf("hook %s finished after %v", e.Target.Name, e.Took)
	case SignalForwarded:
		return fmt.Sprintf("forwarded %s as %s", sig, signals.Name(e.Sent))
	case StopSignalSent:
		return "stop signal " + sig
	case AppKilled:
		return fmt.Sprintf("app killed %v after its stop signal", e.Took)
	case Exited:
		s := *e.Summary
		return fmt.Sprintf("summary: code %d, started %v, no app %v, app %v, killed %v, %v of life, grace %v", s.Code, s.Started, s.NoApp, s.App, s.Killed, s.AppLifetime, s.Grace)
	}
	return ""
}

// The traces of the stories do not show the events and fields that quietEventLine returns, so
// no story checks them.
func TestEventsThatTheTracesLeaveOut(t *testing.T) {
	for _, c := range []struct{ story, want string }{
		{`
-- usher --
usher --wait tcp://db:1 --pre-start migrate --grace 10s --rewrite HUP:USR1 --drain-delay 1s --drain leave -- app
-- machine --
not PID 1
-- processes --
app: ignores signals
migrate: exits 0 after 2s
leave: exits 0 after 500ms
-- targets --
tcp://db:1: ready after 1s
-- events --
6s HUP
8s TERM
`, `
0s is a subreaper
1s tried tcp://db:1, attempt 1: ok
1s hook migrate started
3s hook migrate finished after 2s
3s app started, pid 3
6s forwarded SIGHUP as SIGUSR1
8s delay of 1s started
9s delay finished after 1s
9s hook leave started
9.5s hook leave finished after 500ms
9.5s stop signal SIGTERM
18s app killed 8.5s after its stop signal
18s app 3 exited after 15s
18s summary: code 137, started true, no app false, app was killed by SIGKILL, killed true, 15s of life, grace 10s
`},
		{`
-- usher --
usher --wait tcp://db:1
-- targets --
tcp://db:1: ready after 1s
`, `
1s tried tcp://db:1, attempt 1: ok
1s summary: code 0, started false, no app true, app exited 0, killed false, 0s of life, grace 0s
`},
		{`
-- usher --
usher -- app
-- processes --
app: is not found
`, `
0s summary: code 127, started false, no app false, app exited 0, killed false, 0s of life, grace 0s
`},
		{`
-- usher --
usher --exec -- app
`, `
0s app is executed
0s summary: code 126, started false, no app false, app exited 0, killed false, 0s of life, grace 0s
`},
		{`
-- usher --
usher -- app
-- processes --
app: runs as another user; exits 0 after 9s
-- events --
1s HUP
2s TERM
`, `
0s app started, pid 2
9s app 2 exited after 9s
9s summary: code 0, started true, no app false, app exited 0, killed false, 9s of life, grace 0s
`},
	} {
		h := &history{}
		assert.Empty(t, readStory(c.story).record(t, h))
		var got strings.Builder
		for _, e := range h.events {
			if text := quietEventLine(e.Event); text != "" {
				fmt.Fprintf(&got, "%v %s\n", e.At, text)
			}
		}
		assert.Equal(t, strings.TrimPrefix(c.want, "\n"), got.String())
	}
}

// A program that calls Run can find out by errors.As why the app was not started.
func TestReasonOfARunHoldsTheErrorOfTheStep(t *testing.T) {
	h := &history{}
	readStory("-- usher --\nusher --pre-start migrate -- app\n-- processes --\nmigrate: exits 3 after 1s\n").record(t, h)
	var hook *HookError
	var exit exitError
	assert.True(t, errors.As(h.reason, &hook) && hook.Name == "migrate")
	assert.True(t, errors.As(h.reason, &exit) && exit.Status == 3)
}
