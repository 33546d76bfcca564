package probes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCommandIsRunByTheRunner(t *testing.T) {
	target := parse(t, `name=check /bin/check -a 'b c'`, ForEnd)
	vars := []HookVar{{"USHER_REASON", "signal"}}
	var got Command
	failed := errors.New("exit status 3")
	err := target.Probe.Ask(t.Context(), Attempt{HookVars: vars, Run: func(_ context.Context, c Command) error {
		got = c
		return failed
	}})
	assert.Equal(t, failed, err)
	assert.Equal(t, Command{"check", []string{"/bin/check", "-a", "b c"}, vars}, got)
	assert.Error(t, target.Probe.Ask(t.Context(), Attempt{}), "without a Runner a command fails")

	synctest.Test(t, func(t *testing.T) {
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: 2 * time.Second, Run: func(ctx context.Context, _ Command) error {
			<-ctx.Done()
			return errors.New("signal: killed")
		}})
		assert.EqualError(t, err, "timed out after 2s")
	})
}
