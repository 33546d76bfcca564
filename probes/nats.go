package probes

import "strings"

// askNATS hears INFO, which a NATS server sends by itself when it accepts a
// client; it opens its port when all else is ready. A PING would ask no more,
// and without a user be logged as an attempt to break in. (One that wants TLS logs
// a handshake that ended.)
func askNATS(s *session) error {
	line, err := s.line()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "INFO {"):
		s.leave(nil)
		return nil
	case strings.HasPrefix(line, "-ERR "):
		return answer{"refuses clients", nil}
	}
	return stranger("NATS")
}
