package supervisor

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

func TestValidate(t *testing.T) {
	const s = time.Second
	written := func(d time.Duration) []probes.Target {
		return []probes.Target{{Timeout: d, TimeoutWritten: true}}
	}
	unwritten := []probes.Target{{Timeout: 10 * s}}
	for _, c := range []struct {
		name   string
		config Config
		want   []string // a part of the text of each error, in order; nil: no errors
	}{
		{"a plain init", Config{Command: plainApp}, nil},
		{"nothing to do", Config{}, []string{"no command"}},
		{"only a wait", Config{Wait: unwritten}, nil},
		{"a drain without a deadline", Config{Command: plainApp, Drain: unwritten, DrainDelay: s, StopReserve: s},
			[]string{"DrainDelay needs Grace: 25s", "Drain needs Grace", "StopReserve needs Grace"}},
		{"written numbers that just fit", Config{Command: plainApp, Grace: 10 * s, DrainDelay: 2 * s, StopReserve: 3 * s, Drain: written(3 * s), PostStop: written(2 * s)}, nil},
		{"written numbers that do not fit", Config{Command: plainApp, Grace: 10 * s, DrainDelay: 2 * s, StopReserve: 3 * s, Drain: written(4 * s), PostStop: written(2 * s)},
			[]string{"add up to 11s: raise Grace"}},
		{"written numbers whose sum overflows", Config{Command: plainApp, Grace: 10 * s, DrainDelay: math.MaxInt64, StopReserve: math.MaxInt64}, []string{"raise Grace"}},
		{"default timeouts shrink to fit", Config{Command: plainApp, Grace: 5 * s, Drain: append(unwritten, unwritten...), PostStop: unwritten}, nil},
		{"stop signals that are rewritten", Config{Command: plainApp, StopOn: []syscall.Signal{syscall.SIGQUIT},
			Rewrite: signals.Rewrite{syscall.SIGTERM: syscall.SIGINT, syscall.SIGQUIT: 0, syscall.SIGHUP: syscall.SIGUSR1}},
			[]string{"SIGTERM is a stop signal: use StopSignal", "SIGQUIT is a stop signal"}},
		{"signals that do not exist", Config{Command: plainApp, StopSignal: 65, StopOn: []syscall.Signal{syscall.SIGKILL}},
			[]string{"StopSignal: 65 is not a signal", "StopOn: SIGKILL cannot be caught"}},
		{"Exec with fields that act after the start", Config{Command: plainApp, Exec: true, Wait: unwritten, PreStart: unwritten, Grace: s, Group: true, Ready: unwritten, StopSignal: syscall.SIGQUIT},
			[]string{"Ready cannot be combined with Exec", "StopSignal cannot be", "Grace cannot be", "Group cannot be"}},
		{"Exec with every field that acts after the start", Config{Command: plainApp, Exec: true, Grace: 60 * s, Ready: unwritten, PostStart: unwritten, Readiness: NewReadiness(),
			DrainDelay: 1, Drain: unwritten, DrainIdle: 1, StopSignal: syscall.SIGHUP, StopReserve: 1, PostStop: unwritten, Group: true,
			Rewrite: signals.Rewrite{syscall.SIGHUP: 0}, SuccessExit: []int{0}},
			[]string{"Ready cannot", "PostStart cannot", "Readiness cannot", "DrainDelay cannot", "Drain cannot", "DrainIdle cannot", "StopSignal cannot", "Grace cannot",
				"StopReserve cannot", "PostStop cannot", "Group cannot", "Rewrite cannot", "SuccessExit cannot"}},
		{"the shortest durations without a deadline", Config{Command: plainApp, DrainDelay: 1, DrainIdle: 1, StopReserve: 1},
			[]string{"DrainDelay needs Grace", "DrainIdle needs Grace", "StopReserve needs Grace"}},
		{"no stop signal and no deadline", Config{Command: plainApp, StopSignal: NoSignal}, []string{"StopSignal none needs Grace"}},
		{"no stop signal and the shortest deadline", Config{Command: plainApp, StopSignal: NoSignal, Grace: 1}, nil},
		{"the first signal", Config{Command: plainApp, StopSignal: 1}, nil},
		{"the last signal", Config{Command: plainApp, StopSignal: 64}, nil},
		{"a negative signal", Config{Command: plainApp, StopSignal: -2}, []string{"StopSignal: -2 is not a signal"}},
		{"the first and the last exit code", Config{Command: plainApp, SuccessExit: []int{0, 255}}, nil},
		{"a negative reserve", Config{Command: plainApp, Grace: s, StopReserve: -1}, []string{"StopReserve: -1ns is negative"}},
		{"a sum of a day", Config{Command: plainApp, Grace: 5 * s, DrainIdle: 24 * 3600 * s}, []string{"add up to 24h0m0s: raise Grace to 24h0m10s, or"}},
		{"exit codes that do not exist", Config{Command: plainApp, SuccessExit: []int{143, 256, -1}}, []string{"256 is not an exit code", "-1 is not an exit code"}},
		{"negative durations are not added up", Config{Command: plainApp, Grace: 5 * s, DrainDelay: -math.MaxInt64, DrainIdle: -s}, []string{"DrainDelay: -", "DrainIdle: -1s is negative"}},
		{"a sum of more than a day", Config{Command: plainApp, Grace: 5 * s, DrainIdle: 25 * 3600 * s}, []string{"add up to 25h0m0s: raise Grace, or shorten them"}},
		{"negative durations", Config{Command: plainApp, Grace: -s, WaitTimeout: -s}, []string{"WaitTimeout: -1s is negative", "Grace: -1s is negative"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			if len(c.want) == 0 {
				require.NoError(t, err)
				return
			}
			var all *multierror.Error
			require.ErrorAs(t, err, &all)
			require.Len(t, all.Errors, len(c.want), "%v", err)
			for i, text := range c.want {
				assert.ErrorContains(t, all.Errors[i], text)
				var field *FieldError
				require.ErrorAs(t, all.Errors[i], &field)
				for _, name := range field.Fields() {
					assert.True(t, reflect.ValueOf(c.config).FieldByName(name).IsValid(), "there is no field %s", name)
				}
			}
		})
	}
}

func TestFieldErrorUsesOtherNamesForFields(t *testing.T) {
	c := Config{Command: plainApp, DrainDelay: time.Second}
	var field *FieldError
	require.ErrorAs(t, c.Validate(), &field)
	assert.Equal(t, "DrainDelay", field.Field)
	assert.Equal(t, []string{"DrainDelay", "Grace"}, slices.Compact(field.Fields()))
	assert.Contains(t, field.Text(strings.ToLower), "draindelay needs grace: 25s")
}

func TestWarningsNameADrainThatWillEndEarly(t *testing.T) {
	c := Config{Command: plainApp, Grace: 10 * time.Second, DrainDelay: 7 * time.Second}
	require.NoError(t, c.Validate())
	require.Len(t, c.Warnings(), 1)
	assert.Contains(t, c.Warnings()[0], "may need 7s, but must end after 5s")
	c.DrainDelay = 5 * time.Second
	assert.Empty(t, c.Warnings())
}

func enough(t *testing.T, c *Config) time.Duration {
	d, err := time.ParseDuration(c.enough("%v"))
	require.NoError(t, err)
	return d
}

func TestMessagesNameTheShortestSufficientGrace(t *testing.T) {
	for seconds := range 60 {
		c := Config{Command: plainApp, Grace: time.Second, DrainDelay: time.Duration(seconds) * 700 * time.Millisecond,
			Drain:    []probes.Target{{Timeout: time.Duration(seconds%7) * time.Second, TimeoutWritten: true}},
			PostStop: []probes.Target{{Timeout: time.Duration(seconds%5) * time.Second, TimeoutWritten: seconds%2 == 0}}}
		if seconds%3 == 0 {
			c.StopReserve = time.Duration(seconds) * 300 * time.Millisecond
		}
		sufficient := func() bool { return c.Validate() == nil && len(c.Warnings()) == 0 }
		c.Grace = max(enough(t, &c), time.Second)
		assert.True(t, sufficient(), "%d: %v", seconds, c.Grace)
		if c.Grace -= time.Second; c.Grace > 0 {
			assert.False(t, sufficient(), "%d: %v", seconds, c.Grace)
		}
	}
}

func TestRunRejectsAnInvalidConfig(t *testing.T) {
	code, err := Run(t.Context(), Config{Command: plainApp, DrainDelay: time.Second})
	assert.Equal(t, CodeFault, code)
	assert.True(t, strings.Contains(err.Error(), "DrainDelay needs Grace"), "%v", err)
}

// plainApp is a valid Config.Command.
var plainApp = []string{"app"}
