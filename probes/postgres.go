package probes

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/url"
	"strings"
)

// A postgres is what a connection URL says, as libpq reads it.
type postgres struct {
	user, database string
	encrypt        bool // sslmode= is require or more
}

// buildPostgres makes a probe that does what pg_isready does. The user and the
// database of the URL are sent, because where no password is asked for the
// server logs names that it does not know; without them it is user postgres.
func buildPostgres(r *reading) Probe {
	var p postgres
	probe := buildServer(5432, p.ask)(r)
	s, ok := probe.(*serverProbe)
	if !ok {
		return nil
	}
	path, query, _ := strings.Cut(s.rest, "?")
	query, _, _ = strings.Cut(query, "#")
	path, _, _ = strings.Cut(path, "#")
	values, _ := url.ParseQuery(query) // what cannot be read is not needed
	user, err1 := url.PathUnescape(s.user)
	database, err2 := url.PathUnescape(strings.TrimPrefix(path, "/"))
	p.user = cmp.Or(values.Get("user"), user, "postgres")
	p.database = cmp.Or(database, p.user)
	if err1 != nil || err2 != nil || strings.Contains(p.user+p.database, "\x00") {
		r.mistake("%s:// with a %% in its user or path that is not an escape: write %%25", r.scheme)
	}
	switch values.Get("sslmode") {
	case "require", "verify-ca", "verify-full":
		p.encrypt = true
	}
	return s
}

// ask begins a session and hears the server's first message. A request for
// authentication, or permission without one, is a yes, and so is every error but
// 57P03, cannot_connect_now.
//
// While it starts PostgreSQL logs each attempt, as it does for pg_isready: the
// state is not told in any other way.
func (p *postgres) ask(s *session) error {
	if p.encrypt {
		if err := s.encryptPostgres(); err != nil {
			return err
		}
	}
	s.say(p.startup())
	head, err := s.hear(5)
	if err != nil {
		return err
	}
	// The limits are those of libpq: longer ones are not from a server, or are
	// the plain text with which one says that it cannot fork.
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] == 'R' && 8 <= size && size <= 2000:
		if _, err := s.hear(int(size) - 4); err != nil {
			return err
		}
		s.leave(nil) // no Terminate: it would be a wrong answer to a request for a password
		return nil
	case head[0] == 'E' && 8 <= size && size <= 30000:
		message, err := s.hear(int(size) - 4)
		if err != nil {
			return err
		}
		return judgePostgres(message)
	}
	return stranger("PostgreSQL")
}

// startup is the first message of protocol 3.0.
func (p *postgres) startup() string {
	body := "\x00\x03\x00\x00user\x00" + p.user + "\x00database\x00" + p.database + "\x00\x00"
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

// encryptPostgres puts TLS on the connection, if the server has it. It proves
// nothing about the server, and does not need to: nothing secret is said.
func (s *session) encryptPostgres() error {
	s.say("\x00\x00\x00\x08\x04\xd2\x16\x2f") // SSLRequest
	yes, err := s.hear(1)
	if err != nil {
		return err
	}
	switch yes[0] {
	case 'S':
		conn, err := (&security{insecure: true}).handshake(s.ctx, s.tcp, s.host, "postgresql")
		if err != nil {
			return err
		}
		s.over(conn)
	case 'N':
	default:
		return stranger("PostgreSQL")
	}
	return nil
}

// judgePostgres reads an ErrorResponse: fields of a letter and text, each ended
// by NUL. Its text may be in any language, and is not repeated.
func judgePostgres(message []byte) error {
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
		return stranger("PostgreSQL")
	case code != "57P03":
		return nil
	case strings.HasSuffix(text, "starting up"):
		return hinted{answer{"still starting up", nil}, hintUp}
	case strings.HasSuffix(text, "shutting down"):
		return answer{"shutting down", nil}
	case strings.HasSuffix(text, "in recovery mode"):
		return hinted{answer{"in recovery after a crash", nil}, hintUp}
	}
	return hinted{answer{"not accepting connections yet", nil}, hintUp}
}
