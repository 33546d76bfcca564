package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// droppedIn returns the sum of the numbers in all notices of dropped lines.
func droppedIn(t *testing.T, log string) (sum int) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)(?:^usher: warning: |"msg":")(\d+) lines? dropped: `).FindAllStringSubmatch(log, -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// A hook prints more than the queue holds while nothing reads stderr. usher does not drop
// its own lines. When the test reads stderr, these lines are in the right order.
func TestOutputOfHooksLeavesRoomForTheLog(t *testing.T) {
	const lines = 200_000 // 4 MB in the log
	for name, c := range map[string]struct {
		flags, own []string
		hookLine   string
	}{
		"text": {nil, []string{`usher: warning: drain: hook sh failed after .*: exit status 3`, `usher: stop: sent SIGTERM to sh`, `usher: app exited 0 after .*`}, "usher: drain sh| y"},
		"json": {[]string{"--log", "json"}, []string{`{.*"msg":"drain: hook sh failed .*}`, `{.*"msg":"stop: sent SIGTERM to sh",.*}`, `{.*"msg":"app exited 0 after .*}`}, `"msg":"y"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			require.NoError(t, err)
			args := append(c.flags, "--grace", "100s", "--drain", fmt.Sprintf("timeout=90s sh -c 'yes | head -n %d; exit 3'", lines), "--", "sh", "-c",
				"trap 'echo stopped; read line; exit 0' TERM; echo up; while :; do sleep 0.01; done")
			u := launcher{stderr: w}.usher(t, args...)
			w.Close()
			u.stdout.expect("up")
			u.signal(syscall.SIGTERM)
			u.stdout.expect("stopped") // the hook has exited by now, because usher stops the app after the drain
			stderr := readLines(t, r)
			for _, own := range c.own[:2] {
				for line, ok := stderr.next(); !regexp.MustCompile("^" + own + "$").MatchString(line); line, ok = stderr.next() {
					require.True(t, ok, "the log has no %s", own)
				}
			}
			u.in.Close()
			log := stderr.rest()
			assert.Equal(t, 0, u.code())
			assertPrintedMatch(t, log, "\n"+c.own[2]+"$", "the summary must be the last line")

			dropped := droppedIn(t, log)
			assert.Equal(t, lines, strings.Count(log, c.hookLine)+dropped, "each line must be either printed or counted")
			assert.Greater(t, dropped, lines/2)
			if name == "json" {
				for _, line := range stderr.all {
					var record map[string]any
					require.NoError(t, json.Unmarshal([]byte(line), &record), line)
					if strings.Contains(line, " dropped: ") {
						assert.Equal(t, "WARN", record["level"])
						assert.Positive(t, record["count"])
					}
				}
			}
		})
	}
}

// newPipeOutput returns an output that writes to a pipe, and both ends of the pipe.
func newPipeOutput(t *testing.T) (p *output, r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return newOutput(w), r, w
}

// If the reader of stderr is slow, usher drops the queued output of hooks before it exits,
// and writes its own lines.
func TestFlushDropsHookOutputForASlowReader(t *testing.T) {
	p, r, w := newPipeOutput(t)
	var want []string
	print := func(n int) {
		for i := range n {
			fmt.Fprintf(p.hooks(), "hook %d %s\n", i, strings.Repeat("x", 5000)) // longer than pieceSize, so usher writes it in parts
		}
		want = append(want, fmt.Sprintf("own %d", len(want)))
		fmt.Fprintf(p, "own %d\n", len(want)-1)
	}
	for range 3 {
		print(50)
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		p.flushWithin(patience, 0, patience)
	}()
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.size < 10_000
	}, func() string { return "the hook output is still queued" })
	l := readLines(t, r)
	<-flushed
	w.Close()
	log := l.rest()

	var own []string
	hooks := 0
	for _, line := range l.all {
		switch {
		case strings.HasPrefix(line, "own "):
			own = append(own, line)
		case strings.HasPrefix(line, "hook "):
			hooks++
			assert.Equal(t, 5000, strings.Count(line, "x"), "a line was written in part only")
		default:
			assert.Contains(t, line, "usher: warning: ")
		}
	}
	assert.Equal(t, want, own)
	assert.Equal(t, 1, strings.Count(log, "lines dropped: "))
	assert.Equal(t, 150, hooks+droppedIn(t, log))
	assert.Less(t, hooks, 20, "more lines than fit into the pipe")
	assert.Equal(t, "own 2", l.all[len(l.all)-1], "the notice is not in the place of the dropped lines")
}

// The size of the queue is limited even for usher's own lines. Otherwise a log that nothing
// reads would use up the memory.
func TestQueueOfAnUnreadLogIsLimited(t *testing.T) {
	p, r, w := newPipeOutput(t)
	const lines = 50_000
	for i := range lines {
		fmt.Fprintf(p, "own %6d %s\n", i, strings.Repeat("x", 87))
		fmt.Fprintf(p.hooks(), "hook %s\n", strings.Repeat("x", 95))
	}
	p.mu.Lock()
	assert.LessOrEqual(t, p.size, ownRoom+200, "the queue may exceed the limit only by a notice")
	p.mu.Unlock()
	p.flush(true) // flush returns although nothing reads the pipe
	l := readLines(t, r)
	p.flushWithin(patience, patience, patience)
	w.Close()
	log := l.rest()
	assert.Equal(t, 2*lines, len(l.all)-strings.Count(log, " dropped: ")+droppedIn(t, log))
	assert.Greater(t, strings.Count(log, "\nown "), (ownRoom-hookRoom)/100)
}

// A full disk neither blocks nor stops usher. Once a write succeeds again, a notice gives
// the number of lost lines.
func TestLogThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	p := newOutput(full)
	for i := range 3 {
		fmt.Fprintf(p, "own %d\n", i)
		fmt.Fprintf(p.hooks(), "hook %d\n", i)
		p.flushWithin(patience, patience, patience)
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, unix.Dup3(int(w.Fd()), p.fd, 0))
	w.Close()
	fmt.Fprintf(p, "own 3\n")
	p.flushWithin(patience, patience, patience)
	full.Close()
	l := readLines(t, r)
	l.rest()
	assert.Equal(t, []string{"usher: warning: 6 lines dropped: cannot write to stderr: no space left on device", "own 3"}, l.all)

	// If only a part of a line was written, the notice starts on a new line.
	p.fail(chunk{text: []byte("rest\n")}, true, syscall.EFBIG)
	p.mu.Lock()
	p.addNotice()
	assert.Equal(t, "\nusher: warning: 1 line dropped: cannot write to stderr: file too large\n", string(p.queue[0].text))
	p.mu.Unlock()
}

// The log is a file that reaches RLIMIT_FSIZE. usher keeps working, and does not retry the
// write in a loop. For each such write the kernel sends SIGXFSZ to usher, which does not
// forward it to the app.
func TestLogWithAFileSizeLimit(t *testing.T) {
	t.Parallel()
	logFile := filepath.Join(t.TempDir(), "log")
	r := launcher{hostPID: true}.start(t, "sh", "-c", `ulimit -f 1; exec "$@" 2>`+logFile, "sh", binary(t), "--verbose", "--grace", "20s",
		"--pre-start", "sh -c 'yes | head -n 100000'", "--", "sh", "-c", "echo up; read line; exit 7")
	r.stdout.expect("up")
	r.in.Close()
	assert.Equal(t, 7, r.code())
	log, err := os.ReadFile(logFile)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(log), 1024)
	assert.Less(t, (r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()).Seconds(), 20.0)
}

// However many errors are added, the message has little more than the terminationLogSize
// bytes that the kubelet reads.
func TestTerminationMessageIsLimited(t *testing.T) {
	var w terminationMessage
	for range 10_000 {
		w.add(strings.Repeat("x", 100))
	}
	assert.Less(t, w.text.Len(), terminationLogSize+200)
}
