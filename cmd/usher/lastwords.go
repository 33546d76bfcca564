package main

import (
	"io"
	"os"
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

// add takes a line. What would be cut off anyway is not kept: some errors can be
// repeated without end.
func (w *lastWords) add(line string) {
	if w.text.Len() > terminationLogSize {
		return
	}
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
// elsewhere it would be litter. O_NONBLOCK is for a pipe without a reader.
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
