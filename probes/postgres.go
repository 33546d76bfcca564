package probes

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/url"
	"slices"
	"strings"
)

// postgresParams holds the parts of the connection URL that the probe uses.
type postgresParams struct {
	user, database string
	tls            *tlsSettings // nil: the probe does not use TLS
}

// buildPostgres builds a probe that works like pg_isready. It sends the user and the
// database of the URL, because a server that requires no password logs an error if the user
// or the database does not exist. If the URL has no user, the probe sends the user postgres.
// If the URL has no database, the probe sends the name of the user as the database.
func buildPostgres(p *targetParser) Probe {
	var pg postgresParams
	probe := buildServer(5432, pg.ask)(p)
	s, ok := probe.(*serverProbe)
	if !ok {
		return nil
	}
	values := s.url.query
	pg.user = cmp.Or(values.Get("user"), unescapeIfValid(s.url.user), "postgres")
	pg.database = cmp.Or(values.Get("dbname"), unescapeIfValid(strings.TrimPrefix(s.url.path, "/")), pg.user)
	if strings.Contains(pg.user+pg.database, "\x00") {
		p.addError("%s:// with a NUL byte in its user or database", p.scheme)
	}
	params := lowerNames(values)
	pg.tls = p.serverTLS(modeOf(params, "sslmode", "ssl"), params) // ssl= is a parameter of JDBC, asyncpg and node-postgres
	return s
}

// unescapeIfValid replaces the %-escapes of text. If text has a % that begins no valid
// escape, it returns all of text unchanged, because some drivers accept such a URL.
func unescapeIfValid(text string) string {
	if unescaped, err := url.PathUnescape(text); err == nil {
		return unescaped
	}
	return text
}

// ask sends a startup message and reads the server's first message. The server is ready if
// that message is a request for authentication or an error, except for the errors 57P03
// (cannot_connect_now), 57P01 (admin_shutdown), and those with which PgBouncer reports that it
// has no connection to its server.
//
// While a PostgreSQL server starts, it logs each attempt, as it does for pg_isready. There
// is no way to find out its state without these log lines.
func (pg *postgresParams) ask(s *session) error {
	if pg.tls != nil && s.socket == "" { // libpq does not use TLS on a unix socket either
		if err := s.startPostgresTLS(pg.tls); err != nil {
			return err
		}
	}
	s.write(pg.startup())
	head, err := s.read(5)
	if err != nil {
		return err
	}
	// The limits of size are those of libpq. With any other size, either the server is not
	// PostgreSQL, or PostgreSQL could not fork a process for this connection, and has sent a
	// plain text without a size.
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] == 'R' && 8 <= size && size <= 2000:
		if _, err := s.read(int(size) - 4); err != nil {
			return err
		}
		s.closeGracefully(nil) // without a Terminate, because the protocol allows none before the server's ReadyForQuery
		return nil
	case head[0] == 'E' && 8 <= size && size <= 30000:
		message, err := s.read(int(size) - 4)
		if err != nil {
			return err
		}
		return checkPostgresError(message)
	}
	return errWrongProtocol("PostgreSQL")
}

// startup returns the startup message of protocol 3.0.
func (pg *postgresParams) startup() string {
	body := "\x00\x03\x00\x00user\x00" + pg.user + "\x00database\x00" + pg.database + "\x00\x00"
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

// startPostgresTLS switches the connection to TLS.
func (s *session) startPostgresTLS(settings *tlsSettings) error {
	s.write("\x00\x00\x00\x08\x04\xd2\x16\x2f") // SSLRequest
	reply, err := s.read(1)
	switch {
	case err != nil:
		return err
	case reply[0] == 'S':
		return s.startTLS(settings, "postgresql")
	case reply[0] == 'N':
		return errNoTLS
	}
	return errWrongProtocol("PostgreSQL")
}

// checkPostgresError parses an ErrorResponse, and returns nil if the error means that the
// server is ready. Each field consists of a letter, a text and NUL. The server's text is not
// shown, because it may be in any language.
func checkPostgresError(message []byte) error {
	var code, text string
	for field := range bytes.SplitSeq(message, []byte{0}) {
		switch {
		case len(field) == 6 && field[0] == 'C':
			code = string(field[1:])
		case len(field) > 0 && field[0] == 'M':
			text = string(field[1:])
		}
	}
	switch {
	case code == "":
		return errWrongProtocol("PostgreSQL")
	case code == "08P01" && isPoolerWithoutServer(text):
		return hintedError{probeError{"a pooler without a connection to its server", nil}, "is the server behind the pooler up?"}
	case code == "57P01": // admin_shutdown: a CockroachDB node sends it while it drains
		return probeError{"shutting down", nil}
	case code != "57P03":
		return nil
	case strings.HasSuffix(text, "starting up"):
		return hintedError{probeError{"still starting up", nil}, hintStarting}
	case strings.HasSuffix(text, "shutting down"):
		return probeError{"shutting down", nil}
	case strings.HasSuffix(text, "in recovery mode"):
		return hintedError{probeError{"in recovery after a crash", nil}, hintStarting}
	}
	return hintedError{probeError{"not accepting connections yet", nil}, hintStarting}
}

// isPoolerWithoutServer reports whether the text of an error with the code 08P01 comes from
// a PgBouncer that cannot connect to its server. The code alone does not show this, because
// PgBouncer sends it with most of its errors. PgBouncer's texts are always in English.
func isPoolerWithoutServer(text string) bool {
	// The last text is that of a server which does not accept connections yet, or no longer.
	return slices.ContainsFunc([]string{"query_wait_timeout", "server login has been failing", "cannot connect to server", "the database system is "}, func(part string) bool {
		return strings.Contains(text, part)
	})
}
