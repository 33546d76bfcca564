package main

import (
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// terminationMessage collects the errors of the log, and writes them to the file
// from which the kubelet reads why a container was terminated
// (terminationMessagePath). "kubectl describe pod" shows it.
type terminationMessage struct {
	path string
	text strings.Builder
}

const (
	defaultTerminationLog = "/dev/termination-log"
	// terminationLogSize is as much as the kubelet reads.
	terminationLogSize = 4096
	// terminationLogTimeout bounds the write, because the file's mount may hang.
	terminationLogTimeout = 100 * time.Millisecond
)

// add adds a line. Lines that would be cut off anyway are not kept, because some
// errors can be repeated without end.
func (w *terminationMessage) add(line string) {
	if w.text.Len() > terminationLogSize {
		return
	}
	w.text.WriteString(line)
	w.text.WriteByte('\n')
}

// write writes the text to the file if that exists and is empty. It reports no
// failure: the log has the same lines already.
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

// writeIfEmpty never creates the file: whoever wants the message has done that.
// O_NONBLOCK is for a pipe without a reader. Package os would register the file with
// epoll(7), and the runtime ends the process if it has no descriptor for that.
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

// cut shortens text to size bytes, between two characters; an ellipsis shows it.
func cut(text string, size int) string {
	const more = "…\n"
	if len(text) <= size {
		return text
	}
	end := size - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
