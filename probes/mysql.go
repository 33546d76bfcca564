package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// askMySQL hears the server's greeting. MySQL and MariaDB open their port when
// they have recovered; while they initialize a data directory they have none.
//
// An error may come instead of it. Those about this client are a yes: 1040, too
// many connections; 1129 and 1130, this host is blocked or not allowed.
func askMySQL(s *session) error {
	packet, number, err := s.mysqlPacket()
	if err != nil {
		return err
	}
	if packet[0] == 0xff && len(packet) > 3 {
		switch code := binary.LittleEndian.Uint16(packet[1:]); code {
		case 1040, 1129, 1130:
			return nil
		case 1053:
			return answer{"shutting down", nil}
		default:
			return answer{fmt.Sprintf("refuses clients with error %d", code), nil}
		}
	}
	// Protocol 10: the server's version, NUL, and at least what MySQL 4.1 sends.
	end := bytes.IndexByte(packet, 0)
	if packet[0] != 10 || number != 0 || end < 2 || len(packet) < end+32 {
		return stranger("MySQL")
	}
	s.leave(func() { s.refusedByMySQL(packet[end+1:]) })
	return nil
}

// mysqlPacket reads a packet that is not empty, and its number.
func (s *session) mysqlPacket() (packet []byte, number byte, err error) {
	head, err := s.hear(4)
	if err != nil {
		return nil, 0, err
	}
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if size == 0 || size > maxHeard/4 {
		return nil, 0, stranger("MySQL")
	}
	packet, err = s.hear(size)
	return packet, head[3], err
}

// Capabilities of a client: the passwords and the protocol of MySQL 4.1, and
// plugins for the proof of who it is.
const (
	mysqlClient  = 0x1 | 0x200 | 0x8000
	mysqlPlugins = 0x80000
)

// refusedByMySQL logs in as nobody, without a password, and takes the refusal.
//
// To hang up on the greeting, or to send COM_QUIT, would count as an error of
// this host's handshake; after max_connect_errors of them, with no success in
// between, the server blocks the host, and with it the app. A refused login does
// not count. MariaDB logs either one, as a warning; the user's name says who it
// was. The URL's user is not named: its account could be locked for that.
func (s *session) refusedByMySQL(greeting []byte) {
	plugin := "mysql_native_password"
	// Thread (4), proof (8), NUL, capabilities (2), charset, status (2),
	// capabilities (2), a length, reserved (10), proof and NUL, plugin and NUL.
	if named := greeting[18]&(mysqlPlugins>>16) != 0; named {
		_, name, _ := bytes.Cut(greeting[31:], []byte{0})
		if name, _, _ = bytes.Cut(name, []byte{0}); len(name) < 64 {
			plugin = string(name)
		}
	}
	head := binary.LittleEndian.AppendUint32(nil, mysqlClient|mysqlPlugins)
	head = binary.LittleEndian.AppendUint32(head, 1<<24) // the longest packet
	head = append(head, 45)                              // utf8mb4
	head = append(head, make([]byte, 23)...)
	// The user, no proof, the plugin.
	s.sayMySQL(1, string(head)+"usher-probe\x00\x00"+plugin+"\x00")
	for {
		packet, number, err := s.mysqlPacket()
		switch {
		case err != nil:
			return
		case packet[0] == 0: // it has let us in
			s.sayMySQL(0, "\x01") // COM_QUIT
			return
		case packet[0] != 0xfe:
			return
		case bytes.HasPrefix(packet[1:], []byte("mysql_native_password\x00")):
			s.sayMySQL(number+1, "") // another plugin is to do it: this is no password
		default:
			s.sayMySQL(number+1, "\x00") // and so it is for the newer ones
		}
	}
}

// sayMySQL sends a packet.
func (s *session) sayMySQL(number byte, packet string) {
	s.say(string([]byte{byte(len(packet)), 0, 0, number}) + packet)
}
