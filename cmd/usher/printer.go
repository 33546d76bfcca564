package main

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// printer writes to stderr without ever making its caller wait: a PID 1 whose
// log blocks on a pipe that nobody reads would miss its signals and its
// deadline. What does not fit into the buffer is counted and dropped.
type printer struct {
	fd   int
	wake chan struct{} // capacity 1: there is something to write
	rest chan struct{} // capacity 1: something has been written

	mu      sync.Mutex
	pending []byte
	live    string // the last line of a terminal, which is no line of the log
	dropped int
	writing bool
}

const (
	printerRoom = 1 << 20
	// pieceSize is PIPE_BUF (pipe(7)): what a pipe takes whole or not at all, so
	// that a slow reader is seen to read.
	pieceSize = 4 << 10
	// An exit waits for the log's reader: not long for one that takes nothing, and
	// a little longer for one that is slow. The deadline is near.
	flushPatience = 40 * time.Millisecond
	flushLimit    = 100 * time.Millisecond
)

func newPrinter(f *os.File) *printer {
	p := &printer{fd: int(f.Fd()), wake: make(chan struct{}, 1), rest: make(chan struct{}, 1)}
	go p.run()
	return p
}

// Write takes one or more whole lines; it cannot fail.
func (p *printer) Write(lines []byte) (int, error) {
	p.mu.Lock()
	switch {
	case len(p.pending)+len(lines) > printerRoom:
		p.dropped++
	case p.live != "":
		p.pending = append(append(append(p.pending, eraseLine...), lines...), p.live...)
	default:
		p.pending = append(p.pending, lines...)
	}
	p.mu.Unlock()
	signalTo(p.wake)
	return len(lines), nil
}

// eraseLine goes to the start of the line and empties it (ECMA-48, EL).
const eraseLine = "\r\x1b[K"

// showLive puts text, cut to the terminal's width, in place of the live line;
// an empty one ends it.
func (p *printer) showLive(text string) {
	if size, err := unix.IoctlGetWinsize(p.fd, unix.TIOCGWINSZ); err == nil && size.Col > 1 {
		text = string([]rune(text)[:min(len([]rune(text)), int(size.Col)-1)])
	}
	p.mu.Lock()
	if text != p.live && len(p.pending) < printerRoom {
		p.pending = append(append(p.pending, eraseLine...), text...)
		p.live = text
	}
	p.mu.Unlock()
	signalTo(p.wake)
}

// isTerminal reports whether lines go to a person's screen.
func (p *printer) isTerminal() bool {
	_, err := unix.IoctlGetTermios(p.fd, unix.TCGETS)
	return err == nil
}

// run is the only writer.
func (p *printer) run() {
	if p.isTerminal() {
		shieldFromTerminal()
	}
	for range p.wake {
		p.write(p.take())
		p.mu.Lock()
		p.writing = false
		p.mu.Unlock()
		signalTo(p.rest)
	}
}

// shieldFromTerminal lets the calling goroutine write to a terminal with TOSTOP
// set, once the app has the foreground there: the kernel would stop usher with
// SIGTTOU, but not a thread that blocks it. The thread is the goroutine's from
// now on; that costs two threads, so nobody but a terminal's writer should ask.
func shieldFromTerminal() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (syscall.SIGTTOU - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

func (p *printer) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.pending
	if p.dropped > 0 {
		b = append(b, "usher: "+strconv.Itoa(p.dropped)+" lines dropped: stderr was not read fast enough\n"...)
	}
	p.pending, p.dropped, p.writing = nil, 0, true
	return b
}

func (p *printer) write(b []byte) {
	for len(b) > 0 {
		n, err := syscall.Write(p.fd, b[:min(len(b), pieceSize)])
		switch {
		case n > 0:
			b = b[n:]
			signalTo(p.rest)
		case err == syscall.EAGAIN: // somebody else has made stderr non-blocking
			unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, -1)
		case err != syscall.EINTR:
			return // closed, or its disk is full: there is no other place to say so
		}
	}
}

// flush waits for what has been printed, as long as somebody reads it.
func (p *printer) flush() {
	limit := time.After(flushLimit)
	for {
		p.mu.Lock()
		idle := len(p.pending) == 0 && p.dropped == 0 && !p.writing
		p.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-p.rest:
		case <-time.After(flushPatience):
			return
		case <-limit:
			return
		}
	}
}

// signalTo leaves a mark in a channel of capacity 1, if there is none yet.
func signalTo(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
