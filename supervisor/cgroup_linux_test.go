package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The contents of the files were copied from machines with Linux 5.10 and 6.18 for cgroup
// v1, and with Linux 6.1 and 6.12 for cgroup v2.
func TestMemoryCgroupIsFoundAndCountsKills(t *testing.T) {
	const (
		v1List = "9:name=systemd:/docker/9255e5c8\n4:cpu,memory:/docker/9255e5c8\n0::/docker/9255e5c8\n"
		v2List = "0::/\n"
		v1     = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
		v2     = "low 0\nhigh 0\nmax 517\noom 5\noom_kill 3\noom_group_kill 9\n"
		v1Max  = "9223372036854771712\n"
	)
	for name, c := range map[string]struct {
		files  map[string]string // contents of files by their path under /sys/fs/cgroup; the key "list" stands for /proc/self/cgroup
		events string            // the file that must be found; "": none
		limit  int64
	}{
		"v2 in a container":  {map[string]string{"list": v2List, "memory.events": v2, "memory.max": "67108864\n"}, "memory.events", 64 << 20},
		"v2 without a limit": {map[string]string{"list": v2List, "memory.events": v2, "memory.max": "max\n"}, "memory.events", 0},
		"v2 on a host": {map[string]string{"list": "0::/system.slice/app.service\n", "system.slice/app.service/memory.events": v2,
			"system.slice/app.service/memory.max": "1048576\n"}, "system.slice/app.service/memory.events", 1 << 20},
		"v2 with the host's path": {map[string]string{"list": "0::/../../pod1\n", "memory.events": v2, "memory.max": "4096\n"}, "memory.events", 4096},
		"v1 in a container": {map[string]string{"list": v1List, "memory/memory.oom_control": v1, "memory/memory.limit_in_bytes": "33554432\n"},
			"memory/memory.oom_control", 32 << 20},
		"v1 on a host": {map[string]string{"list": v1List, "memory/docker/9255e5c8/memory.oom_control": v1, "memory/docker/9255e5c8/memory.limit_in_bytes": v1Max,
			"memory/memory.oom_control": "oom_kill 77\n"}, "memory/docker/9255e5c8/memory.oom_control", 0},
		"v1 beside an empty v2": {map[string]string{"list": v1List, "memory/memory.oom_control": v1, "unified/memory.events": "oom_kill 77\n"}, "memory/memory.oom_control", 0},
		"without /proc":         {map[string]string{"memory.events": v2, "memory.max": "max\n"}, "memory.events", 0},
		"before Linux 4.13":     {map[string]string{"list": v1List, "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, "", 0},
		"without cgroups":       {nil, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				t.Helper()
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
			}
			mount := root + "/sys/fs/cgroup/"
			for file, text := range c.files {
				if file == "list" {
					write(root+"/proc/self/cgroup", text)
				} else {
					write(mount+file, text)
				}
			}
			m := findMemoryCgroup(root)
			if c.events == "" {
				assert.Zero(t, m)
				n, limit := m.killed()
				assert.Zero(t, n)
				assert.Zero(t, limit)
				return
			}
			assert.Equal(t, mount+c.events, m.events)
			assert.Equal(t, 3, m.before)
			n, limit := m.killed()
			assert.Zero(t, n, "kills before the start of the app do not count")
			assert.Equal(t, c.limit, limit)
			write(mount+c.events, "oom 9\noom_kill 5\n")
			n, _ = m.killed()
			assert.Equal(t, 2, n)
			require.NoError(t, os.Remove(mount+c.events))
			n, _ = m.killed()
			assert.Zero(t, n, "the cgroup has been removed")
		})
	}
}
