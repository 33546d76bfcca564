package supervisor

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"time"
)

// maxLine is the length at which a line without a newline is cut.
const maxLine = 16 << 10

// flushOutput passes on what processes that hooks have left running have printed.
func (s *linux) flushOutput() {
	for _, c := range s.copiers {
		c.flush()
	}
}

// copier reads what a command prints, as long as any process holds the other end:
// a process that a hook has left running must not die of SIGPIPE.
type copier struct {
	r      *os.File
	output func([]byte)
	line   []byte
	asked  chan chan struct{} // requests of flush; 2: the hook's own and one at the end
	ended  chan struct{}      // closed at the end of the pipe
}

func newCopier(r *os.File, output func([]byte)) *copier {
	return &copier{r: r, output: output, asked: make(chan chan struct{}, 2), ended: make(chan struct{})}
}

func (c *copier) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// flush returns once everything that was in the pipe has been passed on. It sends
// its request before it wakes the reader, and the reader rearms itself before it
// takes requests, so no request is missed.
func (c *copier) flush() {
	answer := make(chan struct{})
	select {
	case c.asked <- answer:
	case <-c.ended:
		return
	}
	c.r.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-answer:
	case <-c.ended:
	}
}

func (c *copier) run() {
	defer c.r.Close()
	defer close(c.ended)
	defer c.endLine()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.r.Read(buf)
		c.add(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !c.rest(buf) {
				return
			}
		case err != nil:
			return
		}
	}
}

// rest empties the pipe without waiting and answers the requests of flush. It
// reads one pipe's capacity at most: more than that was written since the request.
// It reports false at the end of the pipe.
func (c *copier) rest(buf []byte) bool {
	const pipeSize = 64 << 10
	c.r.SetReadDeadline(time.Time{})
	var answers []chan struct{}
	for range len(c.asked) {
		answers = append(answers, <-c.asked)
	}
	open := true
	for total := 0; open && total < pipeSize; {
		n, err := c.readNow(buf)
		if err == syscall.EAGAIN {
			break
		}
		open = n > 0
		c.add(buf[:max(n, 0)])
		total += n
	}
	c.endLine()
	for _, answer := range answers {
		close(answer)
	}
	return open
}

func (c *copier) readNow(buf []byte) (n int, err error) {
	raw, err := c.r.SyscallConn()
	if err != nil {
		return 0, err
	}
	raw.Read(func(fd uintptr) bool {
		for n, err = syscall.Read(int(fd), buf); err == syscall.EINTR; {
			n, err = syscall.Read(int(fd), buf)
		}
		return true
	})
	return n, err
}

func (c *copier) add(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.line = append(c.line, b...)
			break
		}
		c.line = append(c.line, b[:i]...)
		c.output(c.line)
		c.line = c.line[:0]
		b = b[i+1:]
	}
	for len(c.line) >= maxLine {
		c.output(c.line[:maxLine])
		c.line = append(c.line[:0], c.line[maxLine:]...)
	}
}

// endLine passes on a line that has no newline yet.
func (c *copier) endLine() {
	if len(c.line) > 0 {
		c.output(c.line)
		c.line = c.line[:0]
	}
}
