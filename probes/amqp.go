package probes

import (
	"encoding/binary"
	"strings"
)

const amqpHeader = "AMQP\x00\x00\x09\x01" // AMQP 0-9-1, section 4.2.2

// askAMQP sends the protocol header and reads the server's answer: Connection.Start, or
// the server's own header, with which it rejects a version that it does not support (in
// AMQP 1.0, section 2.2, too). Either means that the server is up.
//
// RabbitMQ logs every way to end a connection before a login: Close as an error, a closed
// connection as a warning, "client unexpectedly closed TCP connection". The probe closes
// the connection. That causes one line per wait, because RabbitMQ opens its port last and
// so the first attempt that connects succeeds.
func askAMQP(s *session) error {
	s.write(amqpHeader)
	head, err := s.read(8)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(string(head), "AMQP") && string(head) != amqpHeader: // its own header is an echo
		return nil
	}
	// A frame (section 4.2.3): a method on channel 0, its size, class, method, arguments, 0xCE.
	size := binary.BigEndian.Uint32(head[3:7])
	if string(head[:3]) != "\x01\x00\x00" || size < 5 || size > maxServerBytes/2 {
		return errWrongProtocol("AMQP")
	}
	rest, err := s.read(int(size))
	switch {
	case err != nil:
		return err
	case head[7] != 0 || string(rest[:3]) != "\x0a\x00\x0a" || rest[size-1] != 0xCE: // 10, 10: Connection.Start
		return errWrongProtocol("AMQP")
	}
	return nil
}
