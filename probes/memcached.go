package probes

import "strings"

// askMemcached asks for the version, which changes none of the statistics that
// anybody watches, and says goodbye in the same breath.
//
// A server with SASL knows only the binary protocol. That it hangs up at once,
// without a word, is because these are 24 bytes: it waits for as many before it
// looks. It is asked again in the way that it knows.
func askMemcached(s *session) error {
	s.say("version\r\nversion\r\nquit\r\n")
	line, err := s.line()
	switch {
	case err != nil:
		return s.askMemcachedInBinary(err)
	case strings.HasPrefix(line, "VERSION "):
		s.leave(nil)
		return nil
	case strings.HasPrefix(line, "CLIENT_ERROR unauthenticated"), strings.HasPrefix(line, "ERROR Too many open connections"):
		return nil
	case strings.HasPrefix(line, "SERVER_ERROR"):
		return hinted{answer{"answers with an error", nil}, hintOwnLog}
	}
	return stranger("memcached")
}

// askMemcachedInBinary asks once more, for the version in the binary protocol:
// magic 0x80 or, in the answer, 0x81; opcode 0x0b; the rest of the header's 24
// bytes is zero but for the length of the version. before is why.
func (s *session) askMemcachedInBinary(before error) error {
	if s.connect() != nil {
		return before
	}
	s.say("\x80\x0b" + strings.Repeat("\x00", 22))
	head, err := s.hear(24)
	switch {
	case err != nil:
		return before
	case string(head[:8]) == "\x81\x0b\x00\x00\x00\x00\x00\x00":
		s.leave(nil)
		return nil
	}
	return stranger("memcached")
}
