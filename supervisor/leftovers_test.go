package supervisor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A thousand processes need about 50 ms to exit after SIGKILL. So that they have exited by
// the deadline, they get SIGKILL earlier than a few processes would.
func TestManyLeftoversGetSigkillEarlier(t *testing.T) {
	crowd := strings.Repeat(" idle", 999)
	for _, c := range []struct {
		name, grace, processes, sigkill string
	}{
		{"few processes", "20s", "app: ignores signals; children idle idle idle", "20s"},
		{"with the app", "20s", "app: ignores signals; children" + crowd, "19.97s"},
		{"after the app", "20s", "app: on a stop signal exits 0; children" + crowd + " idle", "19.97s"},
		{"at most a tenth earlier", "200ms", "app: ignores signals; children" + crowd, "180ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			trace := story{
				"usher": "usher --grace " + c.grace + " -- app", "processes": c.processes + "\nidle: ignores signals\n", "events": "0s TERM",
			}.run(t)
			var sigkill string
			for line := range strings.Lines(trace) {
				if at, found := strings.CutSuffix(strings.TrimSpace(line), "   kill everything SIGKILL"); found {
					sigkill = at
				}
			}
			assert.Equal(t, c.sigkill, sigkill)
		})
	}
}
