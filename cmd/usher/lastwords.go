package main

import (
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// lastWords collects what usher itself has decided, for the termination log: the
// file in which the kubelet looks for the reason of a container's end
// (terminationMessagePath), and which "kubectl describe pod" shows.
type lastWords struct {
	path string
	text strings.Builder
}

const (
	defaultTerminationLog = "/dev/termination-log"
	// The kubelet shows no more than this of it.
	terminationLogSize = 4096
	// Whatever file system is mounted there, it is not waited for any longer.
	terminationLogPatience = 100 * time.Millisecond
)

// add takes a line.
func (w *lastWords) add(line string) {
	w.text.WriteString(line)
	w.text.WriteByte('\n')
}

// write leaves the text in the file, if there is one: what the app has written
// there is better. It says nothing of a failure, for nobody would be there to
// read it but a log that already has the same lines.
func (w *lastWords) write() {
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
	case <-time.After(terminationLogPatience):
	}
}

// writeIfEmpty never makes the file: whoever wants the text has done that, and
// elsewhere it would be litter. O_NONBLOCK is for a pipe without a reader. Package
// os would register the file with epoll(7), and the runtime ends the process if
// there is no descriptor left for that.
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

// cut shortens text to size bytes, between two characters, and shows that it did.
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
