package supervisor

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"time"
)

// maxLine is where a line is cut that does not end.
const maxLine = 16 << 10

// drain is for what hooks have left running: what they printed before they
// ended is to be seen too.
func (s *linux) drain() {
	for _, c := range s.copiers {
		c.drain()
	}
}

// copier reads what a command prints, for as long as anything holds the other
// end: what a hook leaves running must not die of SIGPIPE.
type copier struct {
	r      *os.File
	output func([]byte)
	line   []byte
	asked  chan chan struct{} // drain's questions; 2: the hook's own and one at the end
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

// drain returns once everything that was in the pipe has been passed on. The
// question is asked before the reader is woken, and the reader rearms itself
// before it looks for questions: so each is answered.
func (c *copier) drain() {
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
	defer c.flush()
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

// rest empties the pipe without waiting and answers those who have asked for it.
// It takes one pipe's full at the most: what is more has been written since. It
// reports false at the end of the pipe.
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
	c.flush()
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

func (c *copier) flush() {
	if len(c.line) > 0 {
		c.output(c.line)
		c.line = c.line[:0]
	}
}
