package probes

import "strings"

// askNATS reads INFO, which a NATS server sends to every client that it accepts. The server
// opens its port last, so INFO means that the server is ready. A PING would not show more,
// and a server that requires a user would log it as an authorization error. (A server that
// requires TLS logs a failed handshake.)
func askNATS(s *session) error {
	line, err := s.readLine()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "INFO {"):
		s.closeGracefully(nil)
		return nil
	case strings.HasPrefix(line, "-ERR "):
		return probeError{"rejects clients", nil}
	}
	return errWrongProtocol("NATS")
}
