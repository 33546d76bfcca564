package probes

import (
	"encoding/binary"
	"fmt"
)

// The API keys of the requests, and the versions of Metadata that askKafka can use. From
// version 9 on (Kafka 2.4) Metadata has another encoding, which askKafka does not read.
// Every broker since Kafka 0.10 supports at least one of the versions 1 to 8. This includes
// Kafka 4, which has dropped many old versions (KIP-896).
const (
	kafkaMetadata    = 3
	kafkaSASL        = 17 // SaslHandshake
	kafkaAPIVersions = 18
	oldestMetadata   = 1 // the first version whose answer has the ID of the controller
	newestMetadata   = 8
)

// askKafka sends up to three requests: ApiVersions, SaslHandshake if the broker supports it,
// and Metadata unless the broker has accepted the mechanism in SaslHandshake.
//
// A broker answers ApiVersions as soon as it handles requests, even if the cluster is not
// ready yet. The answer to Metadata shows whether the cluster is ready: the list of brokers
// is empty until a broker is registered with the controller, and the ID of the controller is
// -1 until a controller is known. (In KRaft mode the answer names any known broker as the
// controller, so -1 means that no broker is known.)
//
// A listener with SASL answers only ApiVersions and SaslHandshake before the login. It
// closes the connection after any other request, and logs that. A listener without SASL
// answers SaslHandshake with error 34.
//
// askKafka sends SaslHandshake with the mechanism PLAIN. A broker that accepts PLAIN wants a
// login, and counts as ready. If the broker rejects PLAIN, there are two cases. Either it wants
// a login with another mechanism: then it closes the connection, and counts as ready. Or it
// wants no login (Redpanda), and answers Metadata.
func askKafka(s *session) error {
	answer, err := s.askKafkaAPI(kafkaAPIVersions, 0, nil)
	if err != nil {
		return err
	}
	apis, err := parseKafkaAPIs(answer)
	if err != nil {
		return err
	}
	metadata, found := apis[kafkaMetadata]
	switch {
	case !found:
		return hintedError{probeError{"a listener of controllers, which serves no clients", nil}, "write a listener of a broker"}
	case metadata.max < oldestMetadata || metadata.min > newestMetadata:
		return probeError{"supports no known version of Metadata", nil}
	}
	rejected := false
	api, found := apis[kafkaSASL]
	if version := min(api.max, 1); found && api.min <= version { // the versions 0 and 1 of SaslHandshake have the same format
		answer, err := s.askKafkaAPI(kafkaSASL, version, []byte("\x00\x05PLAIN"))
		if err != nil {
			return err
		}
		switch code := answer.int16(); {
		case !answer.ok:
			return errNoKafka
		case code == 0:
			s.closeGracefully(nil)
			return nil
		case code == 33: // UNSUPPORTED_SASL_MECHANISM
			rejected = true
		case code != 34: // ILLEGAL_SASL_STATE
			return errKafka("SaslHandshake", code)
		}
	}
	version := min(metadata.max, newestMetadata)
	answer, err = s.askKafkaAPI(kafkaMetadata, version, metadataRequest(version))
	switch {
	case err != nil && rejected && s.ctx.Err() == nil:
		return nil
	case err != nil:
		return err
	}
	if err := checkKafkaMetadata(answer, version); err != nil {
		return err
	}
	s.closeGracefully(nil)
	return nil
}

var errNoKafka = errWrongProtocol("Kafka")

func errKafka(api string, code int16) error {
	return hintedError{probeError{fmt.Sprintf("answered %s with error %d", api, code), nil}, hintOwnLog}
}

// metadataRequest returns the body of a Metadata request for the brokers and the controller,
// without any topics.
func metadataRequest(version int16) []byte {
	body := []byte{0, 0, 0, 0} // no topics
	if version >= 4 {
		body = append(body, 0) // do not create topics
	}
	if version >= 8 {
		body = append(body, 0, 0) // do not list the operations that this client may do
	}
	return body
}

const (
	// maxKafkaAnswer is the largest size of an answer that askKafkaAPI accepts: 100 MiB, far more
	// than a broker sends. If the first four bytes are a larger number, the server speaks another
	// protocol: as a number, the text "HTTP" is 0x48545450.
	maxKafkaAnswer = 100 << 20
	// readKafkaAnswer is the maximum number of bytes that are read of an answer. The answer to
	// Metadata may be longer, because some brokers list all topics, although none is requested.
	// But the topics are last and not needed. 8 KiB of maxServerBytes, the limit of the
	// connection, are left for the answers before Metadata.
	readKafkaAnswer = maxServerBytes - 8<<10
)

// askKafkaAPI sends a request and returns the answer without its header, or the beginning of
// a long answer. The correlation ID, which the broker sends back, is the API key.
func (s *session) askKafkaAPI(key, version int16, body []byte) (*kafkaAnswer, error) {
	const client = "usher"
	head := binary.BigEndian.AppendUint32(nil, uint32(4+4+2+len(client)+len(body)))
	head = binary.BigEndian.AppendUint16(head, uint16(key))
	head = binary.BigEndian.AppendUint16(head, uint16(version))
	head = binary.BigEndian.AppendUint32(head, uint32(key))
	head = binary.BigEndian.AppendUint16(head, uint16(len(client)))
	s.write(string(head) + client + string(body))
	head, err := s.read(8)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 4 || size > maxKafkaAnswer || binary.BigEndian.Uint32(head[4:]) != uint32(key) {
		return nil, errNoKafka
	}
	data, err := s.read(min(int(size)-4, readKafkaAnswer))
	return &kafkaAnswer{data, true}, err
}

// A kafkaAnswer is read field by field. If a field lies beyond the end of data, its value is
// 0, and ok becomes false.
type kafkaAnswer struct {
	data []byte
	ok   bool
}

func (a *kafkaAnswer) take(n int) []byte {
	if n > len(a.data) {
		a.data, a.ok = nil, false
		return make([]byte, n)
	}
	field := a.data[:n]
	a.data = a.data[n:]
	return field
}

func (a *kafkaAnswer) int16() int16 { return int16(binary.BigEndian.Uint16(a.take(2))) }
func (a *kafkaAnswer) int32() int32 { return int32(binary.BigEndian.Uint32(a.take(4))) }

// skipString skips a string. A length of -1 means null.
func (a *kafkaAnswer) skipString() {
	if n := a.int16(); n >= 0 {
		a.take(int(n))
	} else if n < -1 {
		a.ok = false
	}
}

// kafkaVersions are the versions of a request that a broker supports.
type kafkaVersions struct{ min, max int16 }

// parseKafkaAPIs parses the answer to ApiVersions version 0.
func parseKafkaAPIs(a *kafkaAnswer) (map[int16]kafkaVersions, error) {
	apis := map[int16]kafkaVersions{}
	code := a.int16()
	for n := a.int32(); n > 0 && a.ok; n-- {
		key := a.int16()
		apis[key] = kafkaVersions{a.int16(), a.int16()}
	}
	switch _, found := apis[kafkaAPIVersions]; {
	case !a.ok:
		return nil, errNoKafka
	case code != 0:
		return nil, errKafka("ApiVersions", code)
	case !found:
		return nil, errNoKafka
	}
	return apis, nil
}

// checkKafkaMetadata returns nil if the answer to Metadata shows that the cluster is ready. It
// parses the answer only as far as the ID of the controller.
func checkKafkaMetadata(a *kafkaAnswer, version int16) error {
	if version >= 3 {
		a.int32() // skip the time for which the request was throttled
	}
	brokers := a.int32()
	for n := brokers; n > 0 && a.ok; n-- {
		a.int32() // node ID
		a.skipString()
		a.int32()      // port
		a.skipString() // rack
	}
	if version >= 2 {
		a.skipString() // cluster ID
	}
	controller := a.int32()
	switch {
	case !a.ok:
		return errNoKafka
	case brokers <= 0:
		return hintedError{probeError{"no broker is registered yet", nil}, hintStarting}
	case controller < 0:
		return hintedError{probeError{"the cluster has no controller yet", nil}, hintStarting}
	}
	return nil
}
