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

var sendExpectOptions = []option{
	{name: "send", value: "TEXT", form: `send='PING\r\n'`, meaning: "what to send, with Go's escapes: `send='PING\\r\\n'`"},
	{name: "expect", value: "REGEXP", form: `expect='^\+PONG'`, meaning: "regular expression: read until it matches, at most 10 KiB"},
}

// A sendExpect holds the values of send= and expect=. The zero value sends and expects
// nothing.
type sendExpect struct {
	send   []byte
	expect *regexp.Regexp
}

// run writes the text of send=, then reads until the received bytes match expect=. Without
// expect= it reads nothing. run does not half-close the connection after sending, because some
// servers would then close the connection without an answer.
func (s sendExpect) run(ctx context.Context, conn io.ReadWriter) error {
	return errOrCause(ctx, s.exchange(conn))
}

func (s sendExpect) exchange(conn io.ReadWriter) error {
	if len(s.send) > 0 {
		// A server may send its text and close the connection before it has read anything, so the
		// write may fail. If expect= is given, the text is read and matched anyway.
		if _, err := conn.Write(s.send); err != nil && s.expect == nil {
			return sanitizeErr(err)
		}
	}
	if s.expect == nil {
		return nil
	}
	var received [maxBodyBytes]byte
	for n := 0; ; {
		if s.expect.Match(received[:n]) {
			return nil
		}
		if n == len(received) {
			return fmt.Errorf("the first %d KiB do not match expect=", maxBodyBytes>>10)
		}
		more, err := conn.Read(received[n:])
		n += more
		switch {
		case more > 0: // if Read has returned data and an error, the next Read returns the error again
		case errors.Is(err, io.EOF) && n == 0:
			return hintedError{errors.New("the connection was closed before anything was received"), hintClosed}
		case errors.Is(err, io.EOF):
			return errors.New("the connection was closed, and what was received does not match expect=")
		case err != nil:
			return sanitizeErr(err)
		}
	}
}

// sendExpect parses send= and expect=.
func (p *targetParser) sendExpect() (s sendExpect) {
	if text, written := p.values["send"]; written {
		var ok bool
		if s.send, ok = unescapeGo(text[0]); !ok || len(s.send) == 0 {
			p.addError(`send= is empty or has an invalid escape (they are those of Go strings): write for example send='PING\r\n', and \\ for a backslash`)
		}
	}
	s.expect = p.parseRegexp("expect")
	return s
}

// unescapeGo replaces the escapes of a Go string. It keeps all other bytes, including
// quotes and newlines. If an escape is invalid, it returns false.
func unescapeGo(s string) ([]byte, bool) {
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

// parseRegexp parses an option that is a regular expression. It returns nil if the option
// is not given or not valid.
func (p *targetParser) parseRegexp(option string) *regexp.Regexp {
	text, written := p.values[option]
	if !written {
		return nil
	}
	compiled, err := regexp.Compile(text[0])
	var wrong *syntax.Error
	switch {
	case errors.As(err, &wrong):
		p.addError("%s= is not a regular expression: %s", option, wrong.Code)
	case err != nil:
		p.addError("%s= is not a regular expression", option)
	}
	return compiled
}
