package probes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCommand(t *testing.T) {
	target := parse(t, `name=check /bin/check -a 'b c'`, ForEnd)
	facts := []HookVar{{"USHER_REASON", "signal"}}
	var got Command
	failed := errors.New("exit status 3")
	err := target.Probe.Ask(t.Context(), Attempt{HookVars: facts, Run: func(_ context.Context, c Command) error {
		got = c
		return failed
	}})
	assert.Equal(t, failed, err)
	assert.Equal(t, Command{"check", []string{"/bin/check", "-a", "b c"}, facts}, got)
	assert.Error(t, target.Probe.Ask(t.Context(), Attempt{}), "nobody to run it is a no")

	synctest.Test(t, func(t *testing.T) {
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: 2 * time.Second, Run: func(ctx context.Context, _ Command) error {
			<-ctx.Done()
			return errors.New("signal: killed")
		}})
		assert.EqualError(t, err, "timed out after 2s")
	})
}
