package main

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// output writes the log to stderr and never blocks its caller: a PID 1 that waits
// for the reader of its log would miss signals and its deadline. Write appends to
// a queue of limited size, and one goroutine writes the queue to stderr.
//
// The output of hooks may be endless, so it can fill only a part of the queue: the
// other part is for usher's own lines. Lines are written in the order in which
// they were printed. Lines that are dropped are counted, and a notice in their
// place tells the number.
type output struct {
	fd   int
	wake chan struct{} // capacity 1: the queue is not empty
	rest chan struct{} // capacity 1: something has been written

	mu       sync.Mutex
	queue    []chunk
	size     int       // bytes in queue
	progress string    // the progress line that a terminal shows last
	full     bool      // hook output is dropped until half of its room is free
	lost     int       // lines dropped since the last notice
	cause    error     // of a failed write, which has emptied the queue; else nil
	failed   time.Time // when that was
	torn     bool      // what was written before it ends within a line
	partial  bool      // what was last taken from the queue ends within a line
	writing  bool      // something was taken from the queue and is being written
	notice   func(n int, failure error) []byte
}

// chunk is a part of the queue: text of one kind.
type chunk struct {
	kind chunkKind
	text []byte
	lost int // of a notice: the number of lines that it stands for
}

type chunkKind int

const (
	ownLines chunkKind = iota
	hookOutput
	lossNotice
)

const (
	// hookRoom is how many bytes may be queued for a line of hook output to be
	// accepted, ownRoom for one of usher's own. The difference is what no hook can
	// fill.
	hookRoom = 1 << 20
	ownRoom  = 2 << 20
	// A chunk that has reached this size is not appended to, so that its memory is
	// freed soon after it has been written.
	chunkSize = 64 << 10
	// pieceSize is PIPE_BUF: a write of so many bytes to a pipe is atomic (pipe(7)),
	// so the app's lines in the same pipe never come in the middle of it.
	pieceSize = 4 << 10
	// retryPause is how long hook output is dropped after a failed write, so that an
	// endless hook does not make usher write to a full disk all the time. usher's
	// own lines are always tried.
	retryPause = 100 * time.Millisecond
)

// How long an exit waits for the reader of the log.
const (
	flushPatience = 40 * time.Millisecond  // for one that reads nothing
	flushHooks    = 50 * time.Millisecond  // for a slow one, until queued hook output is dropped
	flushLimit    = 100 * time.Millisecond // for a slow one

	// without a deadline: on a busy machine the writer may have to wait for the
	// processor, and the one line of a failed start must not be lost.
	flushUnlimited = time.Second / 2
)

func newOutput(f *os.File) *output {
	p := &output{fd: int(f.Fd()), wake: make(chan struct{}, 1), rest: make(chan struct{}, 1), notice: textNotice}
	go p.run()
	return p
}

// Write prints one or more whole lines of usher's own; it cannot fail.
func (p *output) Write(lines []byte) (int, error) { return p.enqueue(ownLines, lines) }

// setNotice sets how a notice of dropped lines is written.
func (p *output) setNotice(format func(n int, failure error) []byte) {
	p.mu.Lock()
	p.notice = format
	p.mu.Unlock()
}

// hooks returns a writer for the output of hooks.
func (p *output) hooks() io.Writer { return hookWriter{p} }

type hookWriter struct{ p *output }

func (w hookWriter) Write(lines []byte) (int, error) { return w.p.enqueue(hookOutput, lines) }

func (p *output) enqueue(kind chunkKind, lines []byte) (int, error) {
	p.mu.Lock()
	if p.accepts(kind, len(lines)) {
		p.addNotice()
		if p.progress != "" {
			p.add(kind, []byte(eraseLine), lines, []byte(p.progress))
		} else {
			p.add(kind, lines)
		}
	} else {
		p.lost += bytes.Count(lines, []byte("\n"))
	}
	p.mu.Unlock()
	signalTo(p.wake)
	return len(lines), nil
}

// accepts reports whether the queue has room for size bytes. Once it had none for
// hook output, it accepts that again when half of the room is free: otherwise there
// would be a notice after every few lines.
func (p *output) accepts(kind chunkKind, size int) bool {
	if kind == ownLines {
		return p.size+size <= ownRoom
	}
	if p.cause != nil && time.Since(p.failed) < retryPause {
		return false
	}
	p.full = p.full && p.size > hookRoom/2 || p.size+size > hookRoom
	return !p.full
}

func (p *output) add(kind chunkKind, texts ...[]byte) {
	last := len(p.queue) - 1
	if last < 0 || p.queue[last].kind != kind || len(p.queue[last].text) >= chunkSize {
		p.queue = append(p.queue, chunk{kind: kind})
		last++
	}
	for _, text := range texts {
		p.queue[last].text = append(p.queue[last].text, text...)
		p.size += len(text)
	}
}

// addNotice queues a notice of the lines that have been dropped, if any.
func (p *output) addNotice() {
	if p.lost > 0 {
		p.queue = append(p.queue, p.takeNotice())
	}
	p.cause = nil
}

// takeNotice makes a notice of the lines that have been dropped. The caller puts it
// into the queue.
func (p *output) takeNotice() chunk {
	c := chunk{kind: lossNotice, lost: p.lost}
	if p.torn {
		c.text = append(c.text, '\n')
	}
	c.text = append(c.text, p.notice(p.lost, p.cause)...)
	p.size += len(c.text)
	p.lost, p.cause, p.torn = 0, nil, false
	return c
}

// lines is how many lines are lost with the chunk.
func (c chunk) lines() int {
	if c.kind == lossNotice {
		return c.lost
	}
	return bytes.Count(c.text, []byte("\n"))
}

// eraseLine goes to the start of the line and empties it (ECMA-48, EL).
const eraseLine = "\r\x1b[K"

// showProgress puts text, cut to the terminal's width, in place of the progress line;
// an empty one ends it.
func (p *output) showProgress(text string) {
	if size, err := unix.IoctlGetWinsize(p.fd, unix.TIOCGWINSZ); err == nil && size.Col > 1 {
		text = string([]rune(text)[:min(len([]rune(text)), int(size.Col)-1)])
	}
	p.mu.Lock()
	if text != p.progress && p.accepts(ownLines, len(eraseLine)+len(text)) {
		p.add(ownLines, []byte(eraseLine), []byte(text))
		p.progress = text
	}
	p.mu.Unlock()
	signalTo(p.wake)
}

// isTerminal reports whether lines go to a person's screen.
func (p *output) isTerminal() bool {
	_, err := unix.IoctlGetTermios(p.fd, unix.TCGETS)
	return err == nil
}

// run is the only writer.
func (p *output) run() {
	if p.isTerminal() {
		shieldFromTerminal()
	}
	inLine := false
	for range p.wake {
		for piece, ok := p.take(); ok; piece, ok = p.take() {
			p.write(piece, &inLine)
		}
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

// take removes what is to be written next from the queue: as many whole lines as
// fit into a piece, or a part of a longer line. It returns false if the queue is
// empty. A notice after a failed write waits for the next line, because it would
// fail as well.
func (p *output) take() (chunk, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 && p.cause == nil {
		p.addNotice()
	}
	p.writing = len(p.queue) > 0
	if !p.writing {
		p.queue = nil
		return chunk{}, false
	}
	head := &p.queue[0]
	n := len(head.text)
	if n > pieceSize {
		if n = 1 + bytes.LastIndexByte(head.text[:pieceSize], '\n'); n == 0 {
			n = pieceSize
		}
	}
	piece := chunk{head.kind, head.text[:n], head.lost}
	head.text = head.text[n:]
	if len(head.text) == 0 {
		p.queue[0] = chunk{}
		p.queue = p.queue[1:]
	}
	p.size -= n
	p.partial = !bytes.HasSuffix(piece.text, []byte("\n"))
	return piece, true
}

// write writes a piece. inLine reports whether what was written before it, or of
// it, ends within a line.
func (p *output) write(piece chunk, inLine *bool) {
	for len(piece.text) > 0 {
		n, err := syscall.Write(p.fd, piece.text)
		if n == 0 && err == nil { // write(2) leaves this to each device
			err = syscall.EIO
		}
		switch {
		case n > 0:
			*inLine = piece.text[n-1] != '\n'
			piece.text = piece.text[n:]
			signalTo(p.rest)
		case err == syscall.EAGAIN: // somebody else has made stderr non-blocking
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, -1); err != nil && err != syscall.EINTR {
				<-time.After(retryPause) // poll(2) fails if RLIMIT_NOFILE is 0: do not spin
			}
		case err != syscall.EINTR:
			p.fail(piece, *inLine, err)
			return
		}
	}
}

// fail drops what is queued after a write has failed: nobody reads the pipe any
// more, the disk is full, or the file has reached its limit (EPIPE, ENOSPC, EFBIG).
// Later lines are tried again, because each of these may be over then.
func (p *output) fail(rest chunk, torn bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost += rest.lines()
	for _, c := range p.queue {
		p.lost += c.lines()
	}
	p.queue, p.size, p.full, p.partial = nil, 0, false, false
	p.cause, p.failed, p.torn = err, time.Now(), torn
}

// flush waits until everything is written, as long as somebody reads it. A slow
// reader gets usher's own lines in place of queued hook output. deadline says
// whether the exit has one (--grace).
func (p *output) flush(deadline bool) {
	if deadline {
		p.flushWithin(flushPatience, flushHooks, flushLimit)
		return
	}
	p.flushWithin(flushUnlimited, flushUnlimited, flushUnlimited)
}

func (p *output) flushWithin(patience, hooks, all time.Duration) {
	limit, hookLimit := time.After(all), time.After(hooks)
	for !p.isIdle() {
		select {
		case <-p.rest:
		case <-hookLimit:
			p.dropHookOutput()
		case <-time.After(patience):
			return
		case <-limit:
			return
		}
	}
}

func (p *output) isIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && !p.writing && (p.lost == 0 || p.cause != nil)
}

// dropHookOutput removes hook output from the queue, but for the rest of a line
// that has been begun, and leaves one notice in its place.
func (p *output) dropHookOutput() {
	p.mu.Lock()
	defer p.mu.Unlock()
	queue, own := p.queue, []chunk(nil)
	p.queue, p.size = nil, 0
	at := -1 // where the notice goes
	for i, c := range queue {
		if i == 0 && c.kind == hookOutput && p.partial {
			end := bytes.IndexByte(c.text, '\n') + 1
			if end == 0 { // the progress line
				end = len(c.text)
			}
			own = append(own, chunk{kind: hookOutput, text: c.text[:end:end]})
			p.size += end
			c.text = c.text[end:]
		}
		if c.kind == ownLines {
			own = append(own, c)
			p.size += len(c.text)
			continue
		}
		n := c.lines()
		p.lost += n
		if at < 0 && n > 0 {
			at = len(own)
			own = append(own, chunk{})
		}
	}
	if at >= 0 {
		own[at] = p.takeNotice()
	}
	p.queue = own
}

// signalTo leaves a mark in a channel of capacity 1, if there is none yet.
func signalTo(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
