package probes

import "strings"

// askMemcached sends "version" twice, and then "quit". It uses "version", because the server
// does not count this command in its statistics.
//
// A server with SASL accepts only the binary protocol, whose header has 24 bytes. When such
// a server has read 24 bytes of text, it closes the connection. The second "version" makes
// the request exactly 24 bytes long. If there is no answer, askMemcached connects again and
// uses the binary protocol.
func askMemcached(s *session) error {
	s.write("version\r\nversion\r\nquit\r\n")
	line, err := s.readLine()
	switch {
	case err != nil:
		return s.askMemcachedInBinary(err)
	case strings.HasPrefix(line, "VERSION "):
		s.closeGracefully(nil)
		return nil
	case strings.HasPrefix(line, "CLIENT_ERROR unauthenticated"), strings.HasPrefix(line, "ERROR Too many open connections"):
		return nil
	case strings.HasPrefix(line, "SERVER_ERROR"):
		return hintedError{probeError{"answered with an error", nil}, hintOwnLog}
	}
	return errWrongProtocol("memcached")
}

// askMemcachedInBinary connects again and requests the version with the binary protocol:
// magic 0x80 (0x81 in the response) and opcode 0x0b. The rest of the header is zero,
// except the length of the version in the response. If it cannot connect, or there is no
// response, it returns textErr, the error of the text protocol.
func (s *session) askMemcachedInBinary(textErr error) error {
	if s.connect() != nil {
		return textErr
	}
	s.write("\x80\x0b" + strings.Repeat("\x00", 22))
	head, err := s.read(24)
	switch {
	case err != nil:
		return textErr
	case string(head[:8]) == "\x81\x0b\x00\x00\x00\x00\x00\x00":
		s.closeGracefully(nil)
		return nil
	}
	return errWrongProtocol("memcached")
}
