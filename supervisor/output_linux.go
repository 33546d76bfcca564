package supervisor

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"time"
)

// maxLine is the maximum length, in bytes, of a line that is passed to Config.Output. Longer
// lines are split.
const maxLine = 16 << 10

// flushOutput returns when everything that commands have printed so far has been passed
// to Config.Output. That includes the output of processes that a command left running.
func (s *linux) flushOutput() {
	for _, c := range s.copiers {
		c.flush()
	}
}

// copier reads the output of a command from a pipe and passes each line to its field output.
// It reads as long as any process has the writing end of the pipe open. If the reading end
// were closed earlier, SIGPIPE could kill a process that a hook has left running.
type copier struct {
	r        *os.File
	output   func([]byte)
	line     []byte
	requests chan chan struct{} // flush sends its reply channel; capacity 2, because flush is called at most twice, at the command's exit and at usher's exit, and its send must not block before it has set the deadline
	ended    chan struct{}      // closed at end of file
}

func newCopier(r *os.File, output func([]byte)) *copier {
	return &copier{r: r, output: output, requests: make(chan chan struct{}, 2), ended: make(chan struct{})}
}

func (c *copier) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// flush returns when all data that was in the pipe before the call has been passed to output.
// The method run reads the pipe in another goroutine. flush sends it a request, and then sets
// a deadline in the past, which ends the Read in run, so that run calls the method rest. rest
// clears the deadline, receives the requests, reads what is left in the pipe and then answers
// the requests. A request that is sent later is answered by the next call of rest: flush sets
// the deadline after it has sent the request, so the next Read ends too.
func (c *copier) flush() {
	reply := make(chan struct{})
	select {
	case c.requests <- reply:
	case <-c.ended:
		return
	}
	c.r.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-reply:
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

// rest reads until the pipe is empty, and then answers the requests of flush. It stops
// reading after pipeSize bytes, so that endless output cannot delay flush. pipeSize is the
// default capacity of a pipe (pipe(7)), so the pipe cannot have held more when flush was
// called, unless a process has enlarged it. rest returns false at end of file.
func (c *copier) rest(buf []byte) bool {
	const pipeSize = 64 << 10
	c.r.SetReadDeadline(time.Time{})
	var replies []chan struct{}
	for range len(c.requests) {
		replies = append(replies, <-c.requests)
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
	for _, reply := range replies {
		close(reply)
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
		text, rest, ended := bytes.Cut(b, []byte{'\n'})
		c.line = append(c.line, text...)
		for len(c.line) > maxLine {
			c.output(c.line[:maxLine])
			c.line = append(c.line[:0], c.line[maxLine:]...)
		}
		if ended {
			c.output(c.line)
			c.line = c.line[:0]
		}
		b = rest
	}
}

// endLine passes the text after the last newline to output, if there is any.
func (c *copier) endLine() {
	if len(c.line) > 0 {
		c.output(c.line)
		c.line = c.line[:0]
	}
}
