package probes

import (
	"bufio"
	"strings"
)

// natsParams holds the TLS settings of a target. tls is nil if the target has no options for
// TLS.
type natsParams struct{ tls *tlsSettings }

func buildNATS(p *targetParser) Probe {
	var nats natsParams
	probe := buildServer(4222, nats.ask)(p)
	nats.tls = p.serverTLS(tlsUnset, nil)
	return probe
}

// ask reads INFO, which a NATS server sends to every client that it accepts. The server
// opens its port last, so INFO means that the server is ready. A PING would not show more,
// and a server that requires a user would log it as an authorization error.
//
// If INFO says that the server requires TLS, ask performs the handshake, because the server
// logs an error if the connection ends before the handshake. If the target has no options
// for TLS, ask does not verify the certificate and ignores a failed handshake, because INFO
// has already shown that the server is ready. A server that expects TLS before it sends
// INFO (handshake_first) sends nothing, so the attempt times out.
func (nats *natsParams) ask(s *session) error {
	line, err := s.readLine()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "-ERR "):
		return probeError{"rejects clients", nil}
	case !strings.HasPrefix(line, "INFO {"):
		return errWrongProtocol("NATS")
	}
	switch required := strings.Contains(line, `"tls_required":true`); {
	case required:
		err = s.startNATSTLS(nats.tls, line)
	case nats.tls != nil:
		err = errNoTLS
	}
	if err == nil {
		s.closeGracefully(nil)
	}
	return err
}

// startNATSTLS performs the handshake, which follows INFO immediately. settings is nil if
// the target has no options for TLS. info is the beginning of INFO.
func (s *session) startNATSTLS(settings *tlsSettings, info string) error {
	// If INFO is longer than the reader's buffer, readLine has returned only its beginning.
	// The rest of INFO must be read before the handshake.
	if len(info) == s.r.Size() {
		for err := bufio.ErrBufferFull; err == bufio.ErrBufferFull; {
			_, err = s.r.ReadSlice('\n')
		}
	}
	if settings != nil {
		return s.startTLS(settings)
	}
	_ = s.startTLS(&tlsSettings{insecure: true})
	return nil
}
