package probes

import (
	"encoding/binary"
	"strings"
)

const amqpHeader = "AMQP\x00\x00\x09\x01" // AMQP 0-9-1, section 4.2.2

// askAMQP sends the protocol header and reads the server's answer. A server that supports
// AMQP 0-9-1 answers with Connection.Start. Any other AMQP server answers with the header of a
// version that it supports, as both AMQP 0-9-1 (section 4.2.2) and AMQP 1.0 (section 2.2)
// require. Both answers mean that the server is up.
//
// RabbitMQ logs every connection that ends before a login. If the client sends
// Connection.Close, RabbitMQ logs an error. If the client only closes the connection, as
// the probe does, RabbitMQ logs the warning "client unexpectedly closed TCP connection".
// Each wait causes only one such line: RabbitMQ opens its port as the last step of its start,
// so the first attempt that connects succeeds.
func askAMQP(s *session) error {
	s.write(amqpHeader)
	head, err := s.read(8)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(string(head), "AMQP") && string(head) != amqpHeader: // a server that sends back amqpHeader only echoes the request, so it is not accepted
		return nil
	}
	// A method frame (AMQP 0-9-1, section 4.2.3) consists of the type (1), the channel (here 0),
	// the size, the class, the method, the method's arguments, and 0xCE at the end.
	size := binary.BigEndian.Uint32(head[3:7])
	if string(head[:3]) != "\x01\x00\x00" || size < 5 || size > maxServerBytes/2 {
		return errWrongProtocol("AMQP")
	}
	rest, err := s.read(int(size))
	switch {
	case err != nil:
		return err
	case head[7] != 0 || string(rest[:3]) != "\x0a\x00\x0a" || rest[size-1] != 0xCE: // class 10, method 10: Connection.Start
		return errWrongProtocol("AMQP")
	}
	return nil
}
