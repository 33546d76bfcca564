package main

import (
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// terminationMessage collects the errors of the log and writes them to a file. The kubelet
// reads the file when the container has exited (terminationMessagePath in the pod), and
// "kubectl describe pod" shows the content after "Message:".
type terminationMessage struct {
	path string
	text strings.Builder
}

const (
	defaultTerminationLog = "/dev/termination-log"
	// The kubelet reads at most this many bytes.
	terminationLogSize = 4096
	// The write has a time limit, because the file may be on a mount that hangs.
	terminationLogTimeout = 100 * time.Millisecond
)

// add adds a line, unless the message is full. Without that limit, endlessly repeated
// errors would use up the memory.
func (w *terminationMessage) add(line string) {
	if w.text.Len() > terminationLogSize {
		return
	}
	w.text.WriteString(line)
	w.text.WriteByte('\n')
}

// write writes the message to the file if the file exists and is empty. It ignores
// errors, because the log has the same lines.
func (w *terminationMessage) write() {
	if w.text.Len() == 0 {
		return
	}
	path, text := w.path, cut(w.text.String(), terminationLogSize)
	if path == "" {
		path = defaultTerminationLog
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		writeIfEmpty(path, text)
	}()
	select {
	case <-done:
	case <-time.After(terminationLogTimeout):
	}
}

// writeIfEmpty writes text to an existing, empty, regular file. It does not create the
// file, because a platform that reads the message has created it. O_NONBLOCK keeps open(2)
// from waiting for the reader of a FIFO. Package os is not used, because it registers the
// file with epoll(7). If no descriptor is left for the epoll instance, the runtime ends the
// process.
func writeIfEmpty(path, text string) {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	var file syscall.Stat_t
	if err := syscall.Fstat(fd, &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFREG || file.Size > 0 {
		return
	}
	_, _ = syscall.Write(fd, []byte(text))
}

// cut shortens text to size bytes without splitting a character, and marks the cut
// with an ellipsis.
func cut(text string, size int) string {
	const mark = "…\n"
	if len(text) <= size {
		return text
	}
	end := size - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
