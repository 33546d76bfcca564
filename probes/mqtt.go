package probes

import (
	"fmt"
	"math/rand/v2"
)

// askMQTT connects as a client of MQTT 3.1.1 with a clean session, and disconnects if the
// server accepts it. The client identifier is random, and its 21 characters are less than the
// 23 that a server must allow (section 3.1.3.1).
func askMQTT(s *session) error {
	id := fmt.Sprintf("usher%016x", rand.Uint64())
	// CONNECT: protocol MQTT, level 4, clean session, keep-alive 60 s, identifier.
	body := fmt.Sprintf("\x00\x04MQTT\x04\x02\x00\x3c\x00%c%s", len(id), id)
	s.write(fmt.Sprintf("\x10%c%s", len(body), body))
	head, err := s.read(2)
	if err != nil {
		return err
	}
	if head[0] != 0x20 || head[1] < 2 || head[1] > 127 { // 0x20: CONNACK; its body has two bytes, or more in MQTT 5
		return errWrongProtocol("MQTT")
	}
	ack, err := s.read(int(head[1]))
	if err != nil {
		return err
	}
	if ack[0] > 1 {
		return errWrongProtocol("MQTT")
	}
	switch ack[1] {
	case 0:
		s.closeGracefully(func() { s.write("\xe0\x00") }) // DISCONNECT
		return nil
	case 1, 2, 4, 5, 0x84: // the server runs, but refuses the version (1; in MQTT 5: 0x84), the identifier, the password or the authorization
		return nil
	case 3, 0x88, 0x89: // server unavailable (3; in MQTT 5: 0x88) or busy (0x89)
		return hintedError{probeError{"server not available", nil}, hintStarting}
	}
	return errWrongProtocol("MQTT")
}
