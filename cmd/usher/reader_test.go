package main

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is the time limit of each wait for a line, an exit or a condition. Only a test that
// fails takes so long.
const patience = 2 * time.Minute

// reader reads the lines of a pipe, a terminal or a file, without the newlines. Only
// one goroutine may use it.
type reader struct {
	t   *testing.T
	ch  chan string
	all []string // all lines that next and soFar have read
}

// newReader returns a reader of a new pipe, and the end of the pipe that a process
// writes to.
func newReader(t *testing.T) (*reader, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	return readLines(t, r), w
}

// readLines returns a reader of the lines of f. The reader closes f after the last line.
func readLines(t *testing.T, f io.ReadCloser) *reader {
	l := &reader{t: t, ch: make(chan string, 1<<16)}
	go func() {
		defer close(l.ch)
		defer f.Close()
		for lines := bufio.NewReader(f); ; {
			line, err := lines.ReadString('\n')
			if err == nil || line != "" {
				l.ch <- strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") // a terminal's lines end with \r\n
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

// noLines returns a reader without any lines.
func noLines(t *testing.T) *reader {
	l := &reader{t: t, ch: make(chan string)}
	close(l.ch)
	return l
}

// next waits for the next line and returns it. At the end of the output it returns false.
func (l *reader) next() (string, bool) {
	l.t.Helper()
	var line string
	var ok bool
	select {
	case line, ok = <-l.ch:
	default: // make a timer only if no line is available yet, because a timer for each line would be slow
		select {
		case line, ok = <-l.ch:
		case <-time.After(patience):
			require.FailNow(l.t, "no further line", "so far:\n%s", lastLines(l.text()))
		}
	}
	if ok {
		l.all = append(l.all, line)
	}
	return line, ok
}

// expect reads up to a line that contains text, and returns that line.
func (l *reader) expect(text string) string {
	l.t.Helper()
	return l.expectAll(text)[0]
}

// expectAll reads until each of texts was found in a line of its own, in any order. It
// returns these lines in the order of texts.
func (l *reader) expectAll(texts ...string) []string {
	l.t.Helper()
	found := make([]string, len(texts))
	missing := slices.Clone(texts)
	for len(missing) > 0 {
		line, ok := l.next()
		require.True(l.t, ok, "the output ended without %q:\n%s", missing, lastLines(l.text()))
		i := slices.IndexFunc(missing, func(text string) bool { return strings.Contains(line, text) })
		if i < 0 {
			continue
		}
		for j, text := range texts {
			if text == missing[i] && found[j] == "" {
				found[j] = line
				break
			}
		}
		missing = slices.Delete(missing, i, i+1)
	}
	return found
}

// rest reads to the end, and returns the whole text.
func (l *reader) rest() string {
	l.t.Helper()
	for {
		if _, ok := l.next(); !ok {
			return l.text()
		}
	}
}

// text returns all lines that next and soFar have read.
func (l *reader) text() string { return strings.Join(l.all, "\n") }

// soFar reads the lines that are available without waiting, and returns all lines that have
// been read up to now.
func (l *reader) soFar() string {
	for {
		select {
		case line, ok := <-l.ch:
			if ok {
				l.all = append(l.all, line)
				continue
			}
		default:
		}
		return l.text()
	}
}
