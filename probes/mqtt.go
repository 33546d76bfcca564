package probes

import (
	"fmt"
	"math/rand/v2"
)

// askMQTT connects as a client of MQTT 3.1.1 with a clean session and a name of
// its own (of 23 characters at most: section 3.1.3.1), and leaves in order.
func askMQTT(s *session) error {
	id := fmt.Sprintf("usher%016x", rand.Uint64())
	// CONNECT: protocol MQTT, level 4, clean session, keep-alive 60 s, name.
	body := fmt.Sprintf("\x00\x04MQTT\x04\x02\x00\x3c\x00%c%s", len(id), id)
	s.say(fmt.Sprintf("\x10%c%s", len(body), body))
	head, err := s.hear(2)
	if err != nil {
		return err
	}
	if head[0] != 0x20 || head[1] < 2 || head[1] > 127 { // CONNACK; that of MQTT 5 is longer
		return stranger("MQTT")
	}
	ack, err := s.hear(int(head[1]))
	if err != nil {
		return err
	}
	if ack[0] > 1 {
		return stranger("MQTT")
	}
	switch ack[1] {
	case 0:
		s.leave(func() { s.say("\xe0\x00") }) // DISCONNECT
		return nil
	case 1, 2, 4, 5, 0x84: // another version or name, a password, more rights; 0x84 is 1 in MQTT 5
		return nil
	case 3, 0x88, 0x89: // of MQTT 3.1.1; of MQTT 5
		return hinted{answer{"says that it is not available", nil}, hintUp}
	}
	return stranger("MQTT")
}
