package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

var talkOptions = []option{
	{name: "send", value: "TEXT", form: `send='PING\r\n'`, meaning: "what to send, with Go's escapes: `send='PING\\r\\n'`"},
	{name: "expect", value: "REGEXP", form: `expect='^\+PONG'`, meaning: "regular expression: read until it matches, at most 10 KiB"},
}

// A talk is what is said on a connection once it is there. The zero value is
// silence, and content with it.
type talk struct {
	send   []byte
	expect *regexp.Regexp
}

// on sends, then reads until what has come matches. Nothing is read without an
// expect=, and the connection's other side is not told that no more will be
// sent: some take that for a goodbye.
func (t talk) on(ctx context.Context, conn io.ReadWriter) error {
	return orCause(ctx, t.exchange(conn))
}

func (t talk) exchange(conn io.ReadWriter) error {
	if len(t.send) > 0 {
		// A server may speak first and hang up, whatever it is told: what it
		// has said is worth more than the failure of the write.
		if _, err := conn.Write(t.send); err != nil && t.expect == nil {
			return plain(err)
		}
	}
	if t.expect == nil {
		return nil
	}
	var heard [maxBodyBytes]byte
	for n := 0; ; {
		if t.expect.Match(heard[:n]) {
			return nil
		}
		if n == len(heard) {
			return fmt.Errorf("the first %d KiB do not match expect=", maxBodyBytes>>10)
		}
		more, err := conn.Read(heard[n:])
		n += more
		switch {
		case more > 0: // an error will come again
		case errors.Is(err, io.EOF) && n == 0:
			return hinted{errors.New("the connection was closed without a word"), hintHungUp}
		case errors.Is(err, io.EOF):
			return errors.New("what was sent until the connection was closed does not match expect=")
		case err != nil:
			return plain(err)
		}
	}
}

// talk reads send= and expect=.
func (r *reading) talk() (t talk) {
	if text, written := r.values["send"]; written {
		var ok bool
		if t.send, ok = unescape(text[0]); !ok || len(t.send) == 0 {
			r.mistake(`send= is empty or has a backslash that begins no escape of Go: write for example send='PING\r\n', and \\ for a backslash`)
		}
	}
	t.expect = r.expression("expect")
	return t
}

// unescape reads the escapes of a Go string. All other bytes stand for
// themselves, quotes and newlines too.
func unescape(s string) ([]byte, bool) {
	var b []byte
	for {
		plain, _, found := strings.Cut(s, `\`)
		b = append(b, plain...)
		if !found {
			return b, true
		}
		s = s[len(plain):]
		if strings.HasPrefix(s, `\"`) || strings.HasPrefix(s, `\'`) {
			b = append(b, s[1])
			s = s[2:]
			continue
		}
		c, multibyte, rest, err := strconv.UnquoteChar(s, 0)
		switch {
		case err != nil:
			return nil, false
		case multibyte:
			b = append(b, string(c)...)
		default:
			b = append(b, byte(c))
		}
		s = rest
	}
}

// expression reads an option that is a regular expression; nil if it is not
// written.
func (r *reading) expression(option string) *regexp.Regexp {
	text, written := r.values[option]
	if !written {
		return nil
	}
	compiled, err := regexp.Compile(text[0])
	var wrong *syntax.Error
	switch {
	case errors.As(err, &wrong):
		r.mistake("%s= is not a regular expression: %s", option, wrong.Code)
	case err != nil:
		r.mistake("%s= is not a regular expression", option)
	}
	return compiled
}
