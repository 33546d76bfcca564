package probes

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Debian has no package of Kafka, so these tests use fake brokers. The fake brokers follow the
// specification of Kafka's protocol, and behave before a login as real brokers do.

func kafkaFrame(key int, body string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	return string(binary.BigEndian.AppendUint32(head, uint32(key))) + body
}

func kafkaInts(list ...int) (text string) {
	for _, n := range list {
		text += string(binary.BigEndian.AppendUint16(nil, uint16(n)))
	}
	return text
}

// kafkaAPIs returns an answer to ApiVersions. code is its error code. Each element of apis is
// the key of an API and its oldest and newest version.
func kafkaAPIs(code int, apis ...[3]int) string {
	body := kafkaInts(code, 0, len(apis))
	for _, api := range apis {
		body += kafkaInts(api[0], api[1], api[2])
	}
	return kafkaFrame(kafkaAPIVersions, body)
}

// kafkaCluster returns an answer to Metadata in the given version. brokers is the number of
// brokers, and controller is the ID of the controller, or -1.
func kafkaCluster(version, brokers, controller int) string {
	body := ""
	if version >= 3 {
		body += kafkaInts(0, 0)
	}
	body += kafkaInts(0, brokers)
	for i := range brokers {
		body += kafkaInts(0, i, 6) + "CANARY" + kafkaInts(0, 9092)
		if rack := i % 2; rack == 0 {
			body += kafkaInts(-1)
		} else {
			body += kafkaInts(4) + "rack"
		}
	}
	if version >= 2 {
		body += kafkaInts(7) + "cluster"
	}
	body += string(binary.BigEndian.AppendUint32(nil, uint32(int32(controller)))) + kafkaInts(0, 0)
	if version >= 8 {
		body += kafkaInts(-32768, 0)
	}
	return kafkaFrame(kafkaMetadata, body)
}

var (
	kafkaOld = kafkaAPIs(0, [3]int{3, 0, 1}, [3]int{18, 0, 0})
	kafkaNew = kafkaAPIs(0, [3]int{0, 3, 12}, [3]int{3, 0, 13}, [3]int{18, 0, 4})
)

func init() {
	const wrong = "the server does not speak the Kafka protocol"
	serverSchemes = append(serverSchemes, "kafka")
	for _, test := range []struct{ response, want string }{
		{kafkaNew + kafkaCluster(8, 3, 1), ""},
		{kafkaOld + kafkaCluster(1, 1, 0), ""},
		{kafkaAPIs(0, [3]int{3, 0, 2}, [3]int{18, 0, 0}) + kafkaCluster(2, 2, 0), ""},
		{kafkaAPIs(0, [3]int{3, 4, 7}, [3]int{18, 0, 2}) + kafkaCluster(7, 2, 0), ""},
		{kafkaNew + kafkaCluster(8, 900, 1), ""},
		{kafkaNew + kafkaCluster(8, 0, -1), "no broker is registered yet"},
		{kafkaNew + kafkaCluster(8, 0, 1), "no broker is registered yet"},
		{kafkaOld + kafkaCluster(1, 1, -1), "the cluster has no controller yet"},
		{kafkaAPIs(0, [3]int{18, 0, 4}, [3]int{52, 0, 2}), "a listener of controllers, which serves no clients"},
		{kafkaAPIs(0, [3]int{3, 0, 0}, [3]int{18, 0, 0}), "supports no known version of Metadata"},
		{kafkaAPIs(0, [3]int{3, 9, 20}, [3]int{18, 0, 9}), "supports no known version of Metadata"},
		{kafkaAPIs(35, [3]int{18, 0, 0}), "answered ApiVersions with error 35"},
		{kafkaAPIs(0, [3]int{3, 0, 8}), wrong},
		{kafkaAPIs(0), wrong},
		{kafkaFrame(18, kafkaInts(0, 0, 200)+strings.Repeat("\x00", 300)), wrong},
		{kafkaFrame(18, kafkaInts(0, -1, -1)), wrong},
		{kafkaFrame(18, ""), wrong},
		{kafkaFrame(4242, kafkaOld[8:]), wrong},
		{kafkaOld + kafkaFrame(3, kafkaInts(0, 1, 0)), wrong},
		{kafkaOld + kafkaFrame(3, kafkaInts(0, 1, 0, 1, -2)+strings.Repeat("\x00", 60)), wrong},
		{kafkaOld + kafkaFrame(3, kafkaInts(32767, -1)+strings.Repeat("\x00", 60)), wrong},
		{"\x7f\xff\xff\xff\x00\x00\x00\x12", wrong},
		{"\x00\x00\x00\x03\x00\x00\x00\x12", wrong},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", wrong},
		{"\x15\x03\x03\x00\x02\x02\x50\x00", wrong},
	} {
		serverResponses = append(serverResponses, serverResponse{"kafka", test.response, test.want})
	}
}

// A fakeBroker answers requests and records them.
type fakeBroker struct {
	apis     string
	sasl     string       // the answer to SaslHandshake
	closes   bool         // whether the broker closes the connection after the answer to SaslHandshake
	metadata atomic.Value // func(version int) string

	mu       sync.Mutex
	requests []string
}

func (b *fakeBroker) serve(conn net.Conn) {
	defer conn.Close()
	for {
		size := make([]byte, 4)
		if _, err := io.ReadFull(conn, size); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(conn, request); err != nil || len(request) < 15 || string(request[8:15]) != "\x00\x05usher" {
			return
		}
		key, version := int(binary.BigEndian.Uint16(request)), int(binary.BigEndian.Uint16(request[2:]))
		b.mu.Lock()
		b.requests = append(b.requests, fmt.Sprintf("%d v%d %q", key, version, request[15:]))
		b.mu.Unlock()
		switch key {
		case kafkaAPIVersions:
			io.WriteString(conn, b.apis)
		case kafkaSASL:
			io.WriteString(conn, kafkaFrame(kafkaSASL, b.sasl))
			if b.closes {
				return
			}
		case kafkaMetadata:
			io.WriteString(conn, b.metadata.Load().(func(int) string)(version))
		}
	}
}

// takeRequests returns the requests since the last call.
func (b *fakeBroker) takeRequests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.requests
	b.requests = nil
	return all
}

func (b *fakeBroker) setCluster(brokers, controller int) {
	b.metadata.Store(func(version int) string { return kafkaCluster(version, brokers, controller) })
}

func TestServerKafkaStartsInKRaftMode(t *testing.T) {
	port := unusedPort(t)
	w := startWaiting(t, "kafka://127.0.0.1:"+port)
	w.waitFor("connection refused")
	b := &fakeBroker{apis: kafkaNew}
	b.setCluster(0, -1)
	listen(t, "tcp", "127.0.0.1:"+port, b.serve)
	w.waitFor("no broker is registered yet", "connection refused")
	b.setCluster(1, -1)
	w.waitFor("the cluster has no controller yet", "no broker is registered yet")
	b.setCluster(1, 1)
	w.waitFor("ready", "the cluster has no controller yet")
}

func TestServerKafkaGetsVersionsThatItSupports(t *testing.T) {
	versions := `18 v0 ""`
	for _, test := range []struct {
		apis string
		want []string
	}{
		{kafkaOld, []string{versions, `3 v1 "\x00\x00\x00\x00"`}},
		{kafkaAPIs(0, [3]int{3, 0, 5}, [3]int{18, 0, 1}), []string{versions, `3 v5 "\x00\x00\x00\x00\x00"`}},
		{kafkaAPIs(0, [3]int{3, 7, 8}, [3]int{18, 0, 1}), []string{versions, `3 v8 "\x00\x00\x00\x00\x00\x00\x00"`}},
		{kafkaNew, []string{versions, `3 v8 "\x00\x00\x00\x00\x00\x00\x00"`}},
		{kafkaAPIs(0, [3]int{3, 0, 13}, [3]int{17, 0, 1}, [3]int{18, 0, 4}), []string{versions, `17 v1 "\x00\x05PLAIN"`, `3 v8 "\x00\x00\x00\x00\x00\x00\x00"`}},
		{kafkaAPIs(0, [3]int{3, 0, 1}, [3]int{17, 0, 0}, [3]int{18, 0, 0}), []string{versions, `17 v0 "\x00\x05PLAIN"`, `3 v1 "\x00\x00\x00\x00"`}},
	} {
		b := &fakeBroker{apis: test.apis, sasl: kafkaInts(34, 0, 0)}
		b.setCluster(1, 0)
		l := listen(t, "tcp", "127.0.0.1:0", b.serve)
		require.NoError(t, ask(t, "kafka://"+l.Addr().String(), ForWait))
		assert.Equal(t, test.want, b.takeRequests())
	}
}

// A broker that has rejected PLAIN wants a login with another mechanism, or wants no login. A
// Metadata request shows which: before a login, a broker that wants one closes the connection
// after any request other than ApiVersions and SaslHandshake.
func TestServerKafkaThatWantsALoginIsReady(t *testing.T) {
	apis := kafkaAPIs(0, [3]int{3, 0, 13}, [3]int{17, 0, 1}, [3]int{18, 0, 4})
	for _, test := range []struct {
		name, sasl string
		closes     bool
		brokers    int
		metadata   bool // whether the fake broker must receive a Metadata request
		want       string
	}{
		{"it accepts PLAIN", kafkaInts(0, 0, 1, 5) + "PLAIN", false, 0, false, ""},
		{"it has another mechanism", kafkaInts(33, 0, 1, 13) + "SCRAM-SHA-512", true, 0, false, ""},
		{"no login, and it rejects PLAIN, as Redpanda does", kafkaInts(33, 0, 1, 13) + "SCRAM-SHA-256", false, 1, true, ""},
		{"no login, and it is starting", kafkaInts(33, 0, 0), false, 0, true, "no broker is registered yet"},
		{"no login, with the error that Kafka sends", kafkaInts(34, 0, 0), false, 0, true, "no broker is registered yet"},
		{"no login, and it closes the connection", kafkaInts(34, 0, 0), true, 0, false, closedEarly},
		{"another error", kafkaInts(8, 0, 0), true, 0, false, "answered SaslHandshake with error 8"},
		{"no error code", "\x00", true, 0, false, "the server does not speak the Kafka protocol"},
	} {
		b := &fakeBroker{apis: apis, sasl: test.sasl, closes: test.closes}
		b.setCluster(test.brokers, test.brokers-1)
		l := listen(t, "tcp", "127.0.0.1:0", b.serve)
		err := ask(t, "kafka://app:hunter2@"+l.Addr().String(), ForWait)
		if test.want == closedEarly {
			assert.Error(t, err, test.name) // not always closedEarly: the connection may also be reset
		} else {
			assertResult(t, test.want, err, test.name)
		}
		requests := strings.Join(b.takeRequests(), "\n")
		assert.Equal(t, test.metadata, strings.Contains(requests, "\n3 v"), test.name)
		assert.NotContains(t, requests, "hunter2")
	}
}

// A broker may list all its topics, although the probe requests none. The probe does not
// evaluate that list, but it rejects an answer that is larger than maxKafkaAnswer (100 MiB).
func TestServerKafkaMayListManyTopics(t *testing.T) {
	for _, test := range []struct {
		controller, topics int // topics is the size in bytes of the list of topics
		want               string
	}{
		{1, 200 << 10, ""},
		{-1, 200 << 10, "the cluster has no controller yet"},
		{1, maxKafkaAnswer, "the server does not speak the Kafka protocol"},
	} {
		b := &fakeBroker{apis: kafkaNew}
		b.metadata.Store(func(version int) string {
			return kafkaFrame(kafkaMetadata, kafkaCluster(version, 3, test.controller)[8:]+strings.Repeat("\x00", test.topics))
		})
		err := ask(t, "kafka://"+listen(t, "tcp", "127.0.0.1:0", b.serve).Addr().String(), ForWait)
		assertResult(t, test.want, err, test.topics)
	}
}

func TestServerKafkaOverTLSVerifiesTheCertificate(t *testing.T) {
	b := &fakeBroker{apis: kafkaNew}
	b.setCluster(1, 0)
	address := listen(t, "tcp", "127.0.0.1:0", withTLS(hostileConfig(t), b.serve)).Addr().String()
	assert.NoError(t, ask(t, "insecure=true kafka+ssl://"+address, ForWait))
	assert.EqualError(t, ask(t, "kafka+ssl://"+address, ForWait), "the certificate is self-signed")
	assert.Error(t, ask(t, "kafka://"+address, ForWait))
}
