package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// mysqlParams holds the settings of the target that the method ask uses. tls is nil if the probe
// does not use TLS.
type mysqlParams struct{ tls *tlsSettings }

// buildMySQL builds a probe that uses TLS if the target has an option for TLS, or if the URL
// requires it: by ssl-mode= of MySQL's own clients, sslMode= or useSSL= of the JDBC drivers,
// ssl_mode= or ssl= of Python's drivers, or tls= of Go's driver.
func buildMySQL(p *targetParser) Probe {
	var my mysqlParams
	probe := buildServer(3306, my.ask)(p)
	if s, ok := probe.(*serverProbe); ok {
		params := lowerNames(s.url.query)
		mode := modeOf(params, "ssl-mode", "sslmode", "ssl_mode", "tls", "ssl", "usessl")
		if params["tls"] == "true" {
			mode = tlsVerified // Go's driver verifies the certificate and its name
		}
		my.tls = p.serverTLS(mode, params)
	}
	return probe
}

// ask reads the server's greeting, and then ends the connection with a login that fails (see
// failMySQLLogin). A greeting means that the server is ready, because MySQL and MariaDB open
// their port after recovery, and do not open it while they initialize a data directory.
//
// The server may send an error packet instead of the greeting. With the errors 1040 (too many
// connections), 1129 (this host is blocked) and 1130 (this host is not allowed) the server
// counts as ready, because it serves other clients.
func (my *mysqlParams) ask(s *session) error {
	packet, number, err := s.readMySQLPacket()
	if err != nil {
		return err
	}
	if packet[0] == 0xff && len(packet) > 3 {
		switch code := binary.LittleEndian.Uint16(packet[1:]); code {
		case 1040, 1129, 1130:
			return nil
		case 1053:
			return probeError{"shutting down", nil}
		default:
			return probeError{fmt.Sprintf("rejects clients with error %d", code), nil}
		}
	}
	// A greeting begins with a byte 10, the version of the protocol, then the version of the
	// server and NUL. The fields after them have at least 31 bytes since MySQL 4.1.
	end := bytes.IndexByte(packet, 0)
	if packet[0] != 10 || number != 0 || end < 2 || len(packet) < end+32 {
		return errWrongProtocol("MySQL")
	}
	login := mysqlLogin{greeting: packet[end+1:], flags: mysqlClient | mysqlPlugins, number: 1}
	if my.tls != nil && s.socket == "" {
		if err = s.startMySQLTLS(my.tls, &login); err != nil && login.number == 0 {
			return err
		}
	}
	s.closeGracefully(func() { s.failMySQLLogin(login) })
	return err
}

// startMySQLTLS switches the connection to TLS, and sets the flags and the sequence number of
// the login for TLS. If the server does not offer TLS, or its certificate is invalid,
// startMySQLTLS returns an error, but a login is still possible. If the handshake fails, or the
// server has sent data before it, startMySQLTLS returns an error and sets login.number to 0,
// because no login is possible any more.
func (s *session) startMySQLTLS(settings *tlsSettings, login *mysqlLogin) error {
	if login.greeting[14]&(mysqlTLS>>8) == 0 {
		return errNoTLS
	}
	if s.r.Buffered() > 0 {
		login.number = 0
		return errNotTLS
	}
	login.flags |= mysqlTLS
	s.writeMySQL(1, login.head()) // the request for TLS
	secure, verify, err := settings.handshakeBeforeVerification(s.ctx, s.tcp, s.host)
	if err != nil {
		login.number = 0
		return err
	}
	s.use(secure)
	login.number = 2
	return verify()
}

// readMySQLPacket reads a packet and its sequence number. A packet that is empty or has more
// than 16 KiB is an error.
func (s *session) readMySQLPacket() (packet []byte, number byte, err error) {
	head, err := s.read(4)
	if err != nil {
		return nil, 0, err
	}
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if size == 0 || size > maxServerBytes/4 {
		return nil, 0, errWrongProtocol("MySQL")
	}
	packet, err = s.read(size)
	return packet, head[3], err
}

// Capability flags of a client. mysqlClient combines CLIENT_LONG_PASSWORD,
// CLIENT_PROTOCOL_41 and CLIENT_SECURE_CONNECTION. mysqlTLS is CLIENT_SSL, and mysqlPlugins
// is CLIENT_PLUGIN_AUTH.
const (
	mysqlClient  = 0x1 | 0x200 | 0x8000
	mysqlTLS     = 0x800
	mysqlPlugins = 0x80000
)

// A mysqlLogin holds the values that a login needs.
type mysqlLogin struct {
	greeting []byte // the part of the server's greeting after the NUL that ends the server's version
	flags    uint32 // the capability flags of the client
	number   byte   // the sequence number of the login's packet: 1, or 2 after the request for TLS; 0: no login is possible
}

// head returns the first 32 bytes of a login packet. Sent alone, with the flag mysqlTLS in
// them, they request TLS.
func (l *mysqlLogin) head() string {
	head := binary.LittleEndian.AppendUint32(nil, l.flags)
	head = binary.LittleEndian.AppendUint32(head, 1<<24) // maximum packet size
	head = append(head, 45)                              // utf8mb4
	return string(append(head, make([]byte, 23)...))
}

// failMySQLLogin tries to log in as the user usher-probe, who should not exist, without a
// password, and reads the refusal.
//
// If the probe closed the connection after the greeting, or sent COM_QUIT, the server would
// count an interrupted handshake of this host. After max_connect_errors interrupted
// handshakes without a success, the server blocks the host, and the app cannot connect any
// more. A refused login is not counted. MariaDB logs a warning in both cases; for a refused
// login the warning contains the user usher-probe, which shows its origin. The user of the
// URL is not used, because failed logins may lock the account.
//
// An invalid certificate is reported only after the login. If the probe closed the connection
// at the TLS handshake, the server would count that as an interrupted handshake too.
func (s *session) failMySQLLogin(l mysqlLogin) {
	plugin := "mysql_native_password"
	// The fields in l.greeting, with their lengths in bytes: thread (4), challenge (8),
	// NUL (1), capabilities (2), character set (1), status (2), capabilities (2), length of
	// the challenge (1), reserved (10), rest of the challenge, NUL, plugin, NUL.
	if named := l.greeting[18]&(mysqlPlugins>>16) != 0; named {
		_, name, _ := bytes.Cut(l.greeting[31:], []byte{0})
		if name, _, _ = bytes.Cut(name, []byte{0}); len(name) < 64 {
			plugin = string(name)
		}
	}
	// The packet ends with the user, an empty response to the challenge, and the plugin.
	s.writeMySQL(l.number, l.head()+"usher-probe\x00\x00"+plugin+"\x00")
	for {
		packet, number, err := s.readMySQLPacket()
		switch {
		case err != nil:
			return
		case packet[0] == 0: // OK: the login has succeeded
			s.writeMySQL(0, "\x01") // COM_QUIT
			return
		case packet[0] != 0xfe:
			return
		case bytes.HasPrefix(packet[1:], []byte("mysql_native_password\x00")):
			s.writeMySQL(number+1, "") // the server switches to this plugin, for which an empty response means no password
		default:
			s.writeMySQL(number+1, "\x00") // for the other plugins, NUL means no password
		}
	}
}

// writeMySQL sends a packet of less than 256 bytes. number is its sequence number.
func (s *session) writeMySQL(number byte, packet string) {
	s.write(string([]byte{byte(len(packet)), 0, 0, number}) + packet)
}
