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

// output writes the log to stderr. Write never waits for stderr, because usher would then
// handle signals too late and miss its deadline. Write appends to a queue of limited size,
// and one goroutine writes the queue to stderr.
//
// Hook output is what the commands of hooks print, and with --verbose those of probes. It
// may be endless, so it can use only a part of the queue; the rest is reserved for usher's
// own lines. Lines are written in the order in which they were queued. If lines are dropped,
// a notice in their place gives their number.
type output struct {
	fd      int
	wake    chan struct{} // capacity 1; a value means that the queue may be non-empty
	written chan struct{} // capacity 1; a value means that something was written or that the queue is empty

	mu           sync.Mutex
	queue        []chunk
	size         int       // bytes in queue
	progressLine string    // the progress line that the terminal shows; "": none
	full         bool      // the queue had no room for hook output, which is dropped until size is at most hookRoom/2
	lost         int       // lines dropped since the last notice
	cause        error     // the error of the last failed write, for the next notice; nil: none
	failedAt     time.Time // the time of the last failed write
	torn         bool      // the last failed write has left an incomplete line, so the next notice begins with a newline
	partial      bool      // the text that take returned most recently does not end with a newline
	writing      bool      // a part of the queue was taken and is being written
	notice       func(n int, failure error) []byte
}

// chunk is a part of the queue with text of one kind.
type chunk struct {
	kind chunkKind
	text []byte
	lost int // the number of dropped lines, if kind is lossNotice
}

type chunkKind int

const (
	ownLines chunkKind = iota
	hookOutput
	lossNotice
)

const (
	// Hook output is dropped if the queue would have more than hookRoom bytes with it.
	// usher's own lines are dropped only if the queue would have more than ownRoom bytes.
	// So hooks cannot fill the whole queue.
	hookRoom = 1 << 20
	ownRoom  = 2 << 20
	// When a chunk has reached chunkSize, new text starts another chunk. So memory is freed
	// chunk by chunk while the queue is written.
	chunkSize = 64 << 10
	// pieceSize is PIPE_BUF. A write of at most this size to a pipe is atomic (pipe(7)). So
	// output of the app to the same pipe does not appear in the middle of a line of usher,
	// unless that line is longer than pieceSize.
	pieceSize = 4 << 10
	// After a failed write, hook output is dropped for retryPause, or until usher logs a line
	// of its own, which it always tries to write. Otherwise an endless hook would make usher
	// try to write to a full disk all the time.
	retryPause = 100 * time.Millisecond
)

// Before usher exits, or executes the app in its place (--exec), flush waits for the reader
// of stderr, with these limits. The first three are those of an exit when the time of --grace
// is nearly over.
const (
	flushStalled = 40 * time.Millisecond  // flush returns if nothing could be written for this long
	flushHooks   = 50 * time.Millisecond  // queued hook output is dropped after this time
	flushLimit   = 100 * time.Millisecond // flush returns after this time

	// The longest wait in all other cases. On a busy machine the goroutine that writes may not
	// run for a while, and the last lines must not be lost.
	flushUnhurried = time.Second / 2
)

func newOutput(f *os.File) *output {
	p := &output{fd: int(f.Fd()), wake: make(chan struct{}, 1), written: make(chan struct{}, 1), notice: textNotice}
	go p.run()
	return p
}

// Write queues usher's own lines, or drops and counts them if the queue is full. Each line
// must end with a newline. The error is always nil.
func (p *output) Write(lines []byte) (int, error) { return p.enqueue(ownLines, lines) }

// setNotice sets the function that formats a notice of dropped lines.
func (p *output) setNotice(format func(n int, failure error) []byte) {
	p.mu.Lock()
	p.notice = format
	p.mu.Unlock()
}

// hooks returns a writer for the output of the commands of hooks and probes.
func (p *output) hooks() io.Writer { return hookWriter{p} }

type hookWriter struct{ p *output }

func (w hookWriter) Write(lines []byte) (int, error) { return w.p.enqueue(hookOutput, lines) }

func (p *output) enqueue(kind chunkKind, lines []byte) (int, error) {
	p.mu.Lock()
	if p.accepts(kind, len(lines)) {
		p.addNotice()
		if p.progressLine != "" {
			p.add(kind, []byte(eraseLine), lines, []byte(p.progressLine))
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

// accepts reports whether size bytes of this kind may be queued. When the queue had no room
// for hook output, hook output is accepted again only after the queue has shrunk to
// hookRoom/2. Otherwise there would be a notice after every few lines. After a failed write,
// hook output is not accepted for a while (see retryPause).
func (p *output) accepts(kind chunkKind, size int) bool {
	if kind == ownLines {
		return p.size+size <= ownRoom
	}
	if p.cause != nil && time.Since(p.failedAt) < retryPause {
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

// addNotice queues a notice if lines have been dropped. It also clears cause, which ends the
// pause after a failed write (see retryPause).
func (p *output) addNotice() {
	if p.lost > 0 {
		p.queue = append(p.queue, p.takeNotice())
	}
	p.cause = nil
}

// takeNotice returns a notice of the lines that have been dropped, and sets their count to
// 0. The caller must put the notice into the queue.
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

// lines returns how many lines are lost if the chunk is dropped.
func (c chunk) lines() int {
	if c.kind == lossNotice {
		return c.lost
	}
	return bytes.Count(c.text, []byte("\n"))
}

// eraseLine moves the cursor to the start of the line and erases the line (ECMA-48, EL).
const eraseLine = "\r\x1b[K"

// showProgress replaces the progress line by text. It cuts text to one column less than the
// terminal's width, so that the line does not wrap. An empty text removes the line.
func (p *output) showProgress(text string) {
	if size, err := unix.IoctlGetWinsize(p.fd, unix.TIOCGWINSZ); err == nil && size.Col > 1 {
		text = string([]rune(text)[:min(len([]rune(text)), int(size.Col)-1)])
	}
	p.mu.Lock()
	if text != p.progressLine && p.accepts(ownLines, len(eraseLine)+len(text)) {
		p.add(ownLines, []byte(eraseLine), []byte(text))
		p.progressLine = text
	}
	p.mu.Unlock()
	signalTo(p.wake)
}

// isTerminal reports whether the output is a terminal.
func (p *output) isTerminal() bool {
	_, err := unix.IoctlGetTermios(p.fd, unix.TCGETS)
	return err == nil
}

// run writes the queue. It never returns.
func (p *output) run() {
	terminal := p.isTerminal()
	if terminal {
		blockSIGTTOU()
	}
	inLine := false
	for range p.wake {
		// First let the logging goroutine add more lines to the queue. Then the lines of 200
		// ready targets need about 5 calls of write(2) instead of 200. On a terminal Gosched
		// would cost more than it saves: blockSIGTTOU has locked this goroutine to its thread,
		// so Gosched would have to switch threads.
		if !terminal {
			runtime.Gosched()
		}
		for piece, ok := p.take(); ok; piece, ok = p.take() {
			p.write(piece, &inLine)
		}
		signalTo(p.written)
	}
}

// blockSIGTTOU lets the calling goroutine write to a terminal while the app is in the
// foreground. If the terminal has TOSTOP set and a background process writes to it, the
// kernel stops the process with SIGTTOU, unless the writing thread blocks that signal or the
// process ignores it.
// blockSIGTTOU locks the goroutine to its thread. That costs two threads: the locked one,
// and one from which the runtime then starts new threads. So run calls it only for a
// terminal.
func blockSIGTTOU() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (syscall.SIGTTOU - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

// take removes the next part from the queue: as many whole lines as fit into pieceSize, or
// a part of a longer line. It returns false if the queue is empty. After a failed write, it
// does not return the notice of the lost lines until another line is queued, because a write
// of the notice alone would probably fail too.
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

// write writes a part of the queue. It sets *inLine to true if the last byte written is not
// a newline, else to false.
func (p *output) write(piece chunk, inLine *bool) {
	for len(piece.text) > 0 {
		n, err := syscall.Write(p.fd, piece.text)
		if n == 0 && err == nil { // for some devices write(2) returns 0; without this, usher would retry forever
			err = syscall.EIO
		}
		switch {
		case n > 0:
			*inLine = piece.text[n-1] != '\n'
			piece.text = piece.text[n:]
			signalTo(p.written)
		case err == syscall.EAGAIN: // another process with the same stderr has set O_NONBLOCK
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, -1); err != nil && err != syscall.EINTR {
				<-time.After(retryPause) // poll(2) fails if RLIMIT_NOFILE is 0; without this pause, usher would retry in a busy loop
			}
		case err != syscall.EINTR:
			p.fail(piece, *inLine, err)
			return
		}
	}
}

// fail empties the queue and counts its lines as lost. It is called when a write has failed,
// for example because the pipe has no reader (EPIPE), the disk is full (ENOSPC), or the file
// has reached its size limit (EFBIG). usher still tries to write later lines, because the
// cause may be gone by then.
func (p *output) fail(rest chunk, torn bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost += rest.lines()
	for _, c := range p.queue {
		p.lost += c.lines()
	}
	p.queue, p.size, p.full, p.partial = nil, 0, false, false
	p.cause, p.failedAt, p.torn = err, time.Now(), torn
}

// flush waits until everything is written, or a time limit expires. hurried says whether the
// time of --grace is nearly over. If it is and the reader is slow, flush drops queued hook
// output after flushHooks, so that the reader gets usher's own lines.
func (p *output) flush(hurried bool) {
	if hurried {
		p.flushWithin(flushStalled, flushHooks, flushLimit)
		return
	}
	p.flushWithin(flushUnhurried, flushUnhurried, flushUnhurried)
}

func (p *output) flushWithin(stalled, hooks, total time.Duration) {
	limit, hookLimit := time.After(total), time.After(hooks)
	for !p.isIdle() {
		select {
		case <-p.written:
		case <-hookLimit:
			p.dropHookOutput()
		case <-time.After(stalled):
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

// dropHookOutput removes hook output and older notices from the queue, and puts one notice in
// the place of the first of them. It keeps the rest of a line that has been written in part.
func (p *output) dropHookOutput() {
	p.mu.Lock()
	defer p.mu.Unlock()
	queue, own := p.queue, []chunk(nil)
	p.queue, p.size = nil, 0
	at := -1 // index of the notice; -1: none
	for i, c := range queue {
		if i == 0 && c.kind == hookOutput && p.partial {
			end := bytes.IndexByte(c.text, '\n') + 1
			if end == 0 { // c.text is the rest of the progress line that enqueue has added after hook output; it has no newline
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

// signalTo sends to a channel of capacity 1, unless the channel already holds a value.
func signalTo(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
