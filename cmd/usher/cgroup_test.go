package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// limited holds limits that the processes of a cgroup share. 0 means no limit.
type limited struct {
	pids   int  // processes and threads; zombies count until they are reaped
	memory int  // bytes of memory; swap is not allowed
	cpu    int  // percent of one processor
	freeze bool // the method freeze of the cgroup can be used
}

// cgroup is a cgroup that a test has made, of version 1 or 2.
type cgroup struct {
	t    testing.TB
	dirs map[string]string // directories by controller; version 2 has one directory for all controllers
}

// cgroup makes a cgroup. At the end of the test, the processes in the cgroup are
// killed, and the cgroup is removed.
func (l limited) cgroup(t testing.TB) *cgroup {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root to make a cgroup")
	}
	g := &cgroup{t, map[string]string{}}
	t.Cleanup(g.remove)
	if l.pids != 0 {
		dir, _ := g.make("pids")
		g.write(dir, "pids.max", l.pids)
	}
	if l.memory != 0 {
		dir, version := g.make("memory")
		// The files for swap exist only if the kernel accounts for swap.
		if version == 2 {
			g.write(dir, "memory.max", l.memory)
			g.writeIfThere(dir, "memory.swap.max", 0)
		} else {
			g.write(dir, "memory.limit_in_bytes", l.memory)
			g.writeIfThere(dir, "memory.memsw.limit_in_bytes", l.memory) // the sum of memory and swap
		}
	}
	if l.cpu != 0 {
		dir, version := g.make("cpu")
		const period = 100_000 // microseconds
		if version == 2 {
			g.writeText(dir, "cpu.max", fmt.Sprint(l.cpu*period/100, " ", period))
		} else {
			g.write(dir, "cpu.cfs_period_us", period)
			g.write(dir, "cpu.cfs_quota_us", l.cpu*period/100)
		}
	}
	if l.freeze {
		g.make("freezer")
		t.Cleanup(g.thaw) // runs before g.remove, because in version 1 SIGKILL does not end a frozen process
	}
	return g
}

// freezer returns the name of the file that freezes the processes of the cgroup, and the
// texts to write into the file.
func (g *cgroup) freezer() (file, freeze, thaw string) {
	if _, version := hierarchy(g.t, "freezer"); version == 2 {
		return "cgroup.freeze", "1", "0"
	}
	return "freezer.state", "FROZEN", "THAWED"
}

// freeze stops all processes of the cgroup, without a signal, and returns when they are
// frozen. It polls, because version 1 has no notification for that.
func (g *cgroup) freeze() {
	g.t.Helper()
	file, freeze, _ := g.freezer()
	g.writeText(g.dirs["freezer"], file, freeze)
	frozen := func() bool {
		return g.read("freezer", file) == "FROZEN" || strings.Contains(g.read("freezer", "cgroup.events"), "frozen 1")
	}
	for began := time.Now(); !frozen(); time.Sleep(time.Millisecond) {
		require.Less(g.t, time.Since(began), patience)
	}
}

func (g *cgroup) thaw() {
	file, _, thaw := g.freezer()
	g.writeText(g.dirs["freezer"], file, thaw)
}

// argv returns a command line that runs a command in the cgroup. A shell first enters the
// cgroup and then executes the command, so the command never runs outside the cgroup.
func (g *cgroup) argv(argv ...string) []string {
	all := []string{"/bin/sh", "-c", `while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 99; shift; done; shift; exec "$@"`, "sh"}
	for _, dir := range g.dirs {
		all = append(all, dir)
	}
	return append(append(all, "--"), argv...)
}

// read returns the content of a controller's file, or "" if the kernel has no such
// file.
func (g *cgroup) read(controller, file string) string {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dirs[controller], file))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(g.t, err)
	}
	return strings.TrimSpace(string(data))
}

// make makes a cgroup for a controller, directly below the root cgroup. If g already has a
// cgroup in the same hierarchy, for another controller, make returns that one. The test's own
// cgroup cannot be the parent, because it has processes: in version 2 only the root cgroup
// may have processes and also enable controllers for the cgroups below it (cgroups(7), "no
// internal processes").
func (g *cgroup) make(controller string) (dir string, version int) {
	g.t.Helper()
	root, version := hierarchy(g.t, controller)
	if version == 2 && controller != "freezer" {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			skip(g.t, "no cgroup can be made: "+err.Error())
		}
	}
	for other, dir := range g.dirs {
		if filepath.Dir(dir) == root {
			g.dirs[controller] = g.dirs[other]
			return dir, version
		}
	}
	dir, err := os.MkdirTemp(root, "usher-test-")
	if err != nil {
		skip(g.t, "no cgroup can be made: "+err.Error())
	}
	g.dirs[controller] = dir
	return dir, version
}

// hierarchy returns the directory of a controller's root cgroup, and the version of cgroups
// (1 or 2) to which it belongs.
func hierarchy(t testing.TB, controller string) (root string, version int) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		mount, system, _ := strings.Cut(line, " - ") // proc_pid_mountinfo(5)
		fields := strings.Fields(system)
		root := strings.Fields(mount)[4]
		switch fields[0] {
		case "cgroup":
			if slices.Contains(strings.Split(fields[2], ","), controller) {
				return root, 1
			}
		case "cgroup2":
			// In version 2 each cgroup has the file cgroup.freeze, so there is no controller for it.
			all, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
			if controller == "freezer" || slices.Contains(strings.Fields(string(all)), controller) {
				return root, 2
			}
		}
	}
	skip(t, "no cgroups with the controller "+controller)
	return "", 0
}

func (g *cgroup) write(dir, file string, value int) {
	g.t.Helper()
	g.writeText(dir, file, strconv.Itoa(value))
}

func (g *cgroup) writeText(dir, file, text string) {
	g.t.Helper()
	require.NoError(g.t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0))
}

func (g *cgroup) writeIfThere(dir, file string, value int) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(value)), 0); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(g.t, err)
	}
}

// remove kills all processes of the cgroup and removes the cgroup. If the cgroup limits pids,
// remove first sets pids.max to 0, so that no process can fork while the others are killed.
func (g *cgroup) remove() {
	if dir := g.dirs["pids"]; dir != "" {
		assert.NoError(g.t, os.WriteFile(filepath.Join(dir, "pids.max"), []byte("0"), 0))
	}
	for _, dir := range g.dirs {
		for began := time.Now(); ; {
			procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if errors.Is(err, fs.ErrNotExist) {
				break // already removed, because in version 2 all controllers have the same directory
			}
			assert.NoError(g.t, err)
			for word := range strings.FieldsSeq(string(procs)) {
				if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if err = os.Remove(dir); err == nil {
				break
			}
			if time.Since(began) > patience {
				g.t.Errorf("cannot remove the cgroup: %v", err)
				break
			}
			// A killed process leaves its cgroup some time after SIGKILL. The test polls,
			// because in version 1 the only notification of an empty cgroup goes to the
			// machine's release agent.
			time.Sleep(time.Millisecond)
		}
	}
}

func TestCgroupLimits(t *testing.T) {
	t.Parallel()
	var dirs map[string]string
	t.Run("pids", func(t *testing.T) {
		g := limited{pids: 10, memory: 64 << 20}.cgroup(t)
		dirs = g.dirs
		argv := g.argv("sh", "-c", `i=0; while [ $i -lt 100 ]; do sleep 100000 & i=$((i+1)); done; echo all started`)
		r := launcher{hostPID: true}.start(t, argv...)
		assert.Equal(t, 2, r.code(), "exit code of a shell that cannot fork")
		assert.Equal(t, "9", g.read("pids", "pids.current"), "number of the shell's children in the cgroup")
	})
	require.Len(t, dirs, 2)
	for _, dir := range dirs {
		assert.NoDirExists(t, dir, "the cgroup was not removed")
	}
	t.Run("memory", func(t *testing.T) {
		argv := limited{memory: 16 << 20}.cgroup(t).argv("sh", "-c", `x=$(head -c 200000000 /dev/zero | tr '\0' x); echo has it all`)
		out, _, code := launcher{hostPID: true, merged: true}.run(t, argv...)
		assert.NotEqual(t, 0, code, "the shell was not killed")
		assertNotPrinted(t, out, "has it all")
	})
}
