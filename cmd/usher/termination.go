package main

import (
	"io"
	"os"
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

// writeIfEmpty does not create the file: the kubelet has, and elsewhere nobody reads
// it. A text of the app is not replaced. Without O_NONBLOCK, open(2) of a pipe blocks
// until the pipe has a reader.
func writeIfEmpty(path, text string) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > 0 {
		return
	}
	_, _ = io.WriteString(f, text)
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
