package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the plans and the generated parts of the pages as they are now")

// Each plan must be equal to testdata/plan/NAME.txt.
func TestPlans(t *testing.T) {
	for name, args := range map[string][]string{
		"everything": {"--wait", "tcp://db:5432", "--wait", "optional=5s name=cache tcp://redis:6379", "--wait", "within=10s http://auth/healthz?token=hunter2",
			"--pre-start", "timeout=30s ./migrate --password hunter2", "--ready", "http://localhost:8080/healthz", "--post-start", "register", "--health", ":8086",
			"--grace", "25s", "--drain-delay", "5s", "--drain", "timeout=3s http://localhost/drain?x=hunter2", "--drain", "deregister",
			"--post-stop", "timeout=2s report", "--stop-on", "QUIT", "--stop-signal", "QUIT", "--", "nginx", "-g", "daemon off;"},
		"plain-init":         {"nginx"},
		"init-container":     {"--wait", "tcp://db:5432", "--wait-timeout", "0"},
		"idle":               {"--grace", "25s", "--drain-idle", "2s", "app"},
		"exec":               {"--wait", "tcp://db:5432", "--exec", "app"},
		"no-drain":           {"--grace", "8s", "--post-stop", "report", "--group", "app"},
		"no-stop-signal":     {"--grace", "8s", "--drain", "quit", "--stop-signal", "none", "app"},
		"no-deadline":        {"--post-stop", "report", "sh", "-c", "first; second"},
		"shell-that-execs":   {"--grace", "8s", "sh", "-c", "first; exec second"},
		"shell-with-grace":   {"--grace", "8s", "sh", "-c", "first; second"},
		"shell-with-trap":    {"--grace", "8s", "sh", "-c", "trap 'exit 3' TERM; first; second"},
		"too-much-to-drain":  {"--grace", "20s", "--drain-delay", "12s", "--drain", "a", "--drain", "timeout=0 b", "app"},
		"hooks-with-no-time": {"--grace", "10s", "--drain", "a", "--drain", "b", "--post-stop", "c", "--post-stop", "timeout=1s d", "app"},
	} {
		t.Run(name, func(t *testing.T) {
			o := parsed(t, append([]string{"--plan"}, args...), nil)
			require.True(t, o.plan)
			got, file := plan(&o), filepath.Join("testdata", "plan", name+".txt")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
			assert.NotContains(t, got, "hunter2")
		})
	}
}

func TestPlanStartsNothing(t *testing.T) {
	r := launcher{}.usher(t, "--plan", "--pre-start", "echo did-run", "--", "echo", "app")
	assert.Equal(t, 0, r.code())
	out := r.stdout.rest()
	assertPrinted(t, out, "pre-start     hook echo, no time limit")
	assertNotPrinted(t, out, "did-run")
	assert.Empty(t, r.stderr.rest())
}
