package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// childrenOf returns the pids of a process's children, including zombies.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var children []int
	for _, file := range stats {
		stat, _ := os.ReadFile(file) // the process may have exited meanwhile
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			require.NoError(t, err)
			children = append(children, child)
		}
	}
	return children
}

// waitForApp polls /proc until usher's only child is in the state with this letter. It does
// not call wait4(2), because wait4(2) works only for children of the caller.
func (p *process) waitForApp(letter string) {
	p.t.Helper()
	children := childrenOf(p.t, p.pid())
	require.Len(p.t, children, 1)
	for limit := time.After(patience); state(children[0]) != letter; {
		select {
		case <-limit:
			require.FailNow(p.t, "the app is not in state "+letter)
		default:
		}
	}
}

// state returns the letter of a process's state (proc_pid_stat(5)), or "" if there is no
// such process.
func state(pid int) string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	letter, _, _ := strings.Cut(rest, " ")
	return letter
}
