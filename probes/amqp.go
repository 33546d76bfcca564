package probes

import (
	"encoding/binary"
	"strings"
)

const amqpHeader = "AMQP\x00\x00\x09\x01" // AMQP 0-9-1, section 4.2.2

// askAMQP begins a connection and hears the server's part: Connection.Start, or
// its own header, with which a server refuses a version that it does not speak
// (AMQP 1.0, section 2.2, too): it is up.
//
// There is no way to leave before a login that RabbitMQ likes: Close is logged
// as an error, hanging up as a warning, "client unexpectedly closed TCP
// connection". So it is the latter, once for the yes and never before: RabbitMQ
// opens its port last of all.
func askAMQP(s *session) error {
	s.say(amqpHeader)
	head, err := s.hear(8)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(string(head), "AMQP") && string(head) != amqpHeader: // else it is an echo
		return nil
	}
	// A frame (section 4.2.3): a method on channel 0, its size, class, method, arguments, 0xCE.
	size := binary.BigEndian.Uint32(head[3:7])
	if string(head[:3]) != "\x01\x00\x00" || size < 5 || size > maxHeard/2 {
		return stranger("AMQP")
	}
	rest, err := s.hear(int(size))
	switch {
	case err != nil:
		return err
	case head[7] != 0 || string(rest[:3]) != "\x0a\x00\x0a" || rest[size-1] != 0xCE: // 10, 10: Connection.Start
		return stranger("AMQP")
	}
	return nil
}
