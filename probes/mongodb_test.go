package probes

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The servers of these tests are written from the specifications of OP_MSG, of BSON and of
// the server discovery of MongoDB's drivers, because Debian has no MongoDB.

func bsonInt32(name string, n int32) string {
	return "\x10" + name + "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

func bsonInt64(name string, n int64) string {
	return "\x12" + name + "\x00" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func bsonDouble(name string, f float64) string {
	return "\x01" + name + "\x00" + string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)))
}

func bsonBool(name string, yes bool) string {
	if yes {
		return "\x08" + name + "\x00\x01"
	}
	return "\x08" + name + "\x00\x00"
}

func bsonString(name, text string) string {
	return "\x02" + name + "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(text)+1))) + text + "\x00"
}

func bsonDocument(elements ...string) string {
	all := strings.Join(elements, "") + "\x00"
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(all)+4))) + all
}

// mongoMessage returns an OP_MSG that answers askMongoDB's request. begin is what comes before
// the document: the flags and the kind of the section.
func mongoMessage(begin, doc string) string {
	var head []byte
	for _, n := range []int{16 + len(begin) + len(doc), 4242, mongoRequest, mongoOpMsg} {
		head = binary.LittleEndian.AppendUint32(head, uint32(n))
	}
	return string(head) + begin + doc
}

func mongoHello(elements ...string) string {
	return mongoMessage("\x00\x00\x00\x00\x00", bsonDocument(elements...))
}

// otherFields has a field of each type of BSON.
var otherFields = []string{
	"\x03topologyVersion\x00" + bsonDocument("\x07processId\x00123456789012", bsonInt64("counter", 6)),
	"\x04hosts\x00" + bsonDocument(bsonString("0", "CANARY:27017"), bsonString("1", "CANARY:27018")),
	bsonString("setName", "CANARY"), bsonInt32("setVersion", 1), bsonInt32("maxBsonObjectSize", 16<<20),
	"\x05signature\x00\x03\x00\x00\x00\x00abc", "\x09localTime\x0012345678", "\x11operationTime\x0012345678", "\x0aa\x00", "\x06b\x00", "\x7fc\x00", "\xffd\x00",
	"\x13e\x001234567890123456", "\x0df\x00\x01\x00\x00\x00\x00", "\x0eg\x00\x01\x00\x00\x00\x00", "\x0fh\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x00\x05\x00\x00\x00\x00",
	bsonBool("readOnly", false), bsonString("ismasterx", "x"),
}

func init() {
	const (
		wrong    = "the server does not speak the MongoDB protocol"
		starting = "neither primary nor secondary: starting, recovering or in rollback"
	)
	ok := bsonDouble("ok", 1)
	primary := bsonBool("isWritablePrimary", true)
	serverSchemes = append(serverSchemes, "mongodb")
	for _, test := range []struct{ response, want string }{
		{mongoHello(primary, ok), ""},
		{mongoHello(append(otherFields, primary, bsonBool("secondary", false), ok)...), ""},
		{mongoHello(bsonBool("isWritablePrimary", false), bsonBool("secondary", true), bsonString("setName", "x"), ok), ""},
		{mongoHello(bsonBool("ismaster", true), bsonBool("isWritablePrimary", true), bsonInt32("ok", 1)), ""},
		{mongoHello(bsonBool("ismaster", true), bsonBool("isWritablePrimary", false), bsonInt64("ok", 1)), ""},
		{mongoHello(bsonString("msg", "isdbgrid"), bsonBool("ok", true)), ""},
		{mongoHello(bsonInt32("code", 59), bsonDouble("ok", 0)) + mongoHello(bsonBool("ismaster", true), ok), ""},
		{mongoMessage("\x01\x00\x00\x00\x00", bsonDocument(primary, ok)+"CRC4"), ""},
		{mongoHello(bsonDouble("ok", 0), bsonString("errmsg", "CANARY"), bsonInt32("code", 13)), ""},
		{mongoHello(bsonDouble("ok", 0), bsonInt64("code", 18)), ""},
		{mongoHello(bsonBool("arbiterOnly", true), bsonBool("isWritablePrimary", false), bsonBool("secondary", false), ok), "an arbiter, which holds no data"},
		{mongoHello(bsonBool("isreplicaset", true), bsonBool("isWritablePrimary", false), bsonBool("secondary", false), ok), "not a member of a replica set yet"},
		{mongoHello(bsonString("setName", "CANARY"), bsonBool("isWritablePrimary", false), bsonBool("secondary", false), ok), starting},
		{mongoHello(bsonString("msg", "isdbgridCANARY"), ok), starting},
		{mongoHello(bsonInt32("msg", 1), ok), starting},
		{mongoHello(bsonDouble("isWritablePrimary", math.NaN()), ok), starting},
		{mongoHello(bsonDouble("ok", 0), bsonInt32("code", 91)), "shutting down"},
		{mongoHello(bsonDouble("ok", 0), bsonInt32("code", 11600)), "shutting down"},
		{mongoHello(bsonDouble("ok", 0), bsonInt32("code", 211), bsonString("errmsg", "CANARY")), "answered hello with error 211"},
		{mongoHello(bsonString("ok", "1")), "answered hello with error 0"},
		{mongoHello(bsonInt32("code", 59), bsonDouble("ok", 0)) + mongoHello(bsonInt32("code", 59), bsonDouble("ok", 0)), "answered hello with error 59"},
		{mongoHello(primary), wrong}, // without ok
		{mongoHello(), wrong},
		{mongoHello(primary, ok, "\x02x\x00\xff\xff\xff\xff"), wrong},
		{mongoHello(primary, ok, "\x02x\x00\x00\x00\x00\x80"), wrong},
		{mongoHello(primary, ok, "\x03x\x00\x03\x00\x00\x00"), wrong},
		{mongoHello(primary, ok, "\x05x\x00\xff\xff\xff\x7f\x00"), wrong},
		{mongoHello(primary, ok, "\x20x\x00"), wrong},
		{mongoHello(primary, ok, "\x08x"), wrong},
		{mongoHello(primary, ok, "\x08x\x00"), wrong},
		{mongoMessage("\x00\x00\x00\x00\x01", bsonDocument(primary, ok)), wrong},
		{mongoMessage("\x00\x00\x00\x00\x00", bsonDocument(primary, ok)+"x"), wrong},
		{mongoMessage("\x01\x00\x00\x00\x00", bsonDocument()), wrong},
		{mongoMessage("\x00\x00\x00\x00\x00", "\x05\x00\x00\x00"), wrong},
		{strings.Replace(mongoHello(primary, ok), "\x01\x00\x00\x00\xdd\x07", "\x00\x00\x00\x00\xdd\x07", 1), wrong}, // as of a server that sends back the request
		{strings.Replace(mongoHello(primary, ok), "\xdd\x07", "\x01\x00", 1), wrong},
		{"\xff\xff\xff\xff" + mongoHello(primary, ok)[4:], wrong},
		{"\x10\x00\x00\x00" + mongoHello(primary, ok)[4:], wrong},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", wrong},
		{"SSH-2.0-OpenSSH_9.2\r\n", wrong},
	} {
		serverResponses = append(serverResponses, serverResponse{"mongodb", test.response, test.want})
	}
}

// readMongoCommand reads a request and returns its command, or "" if it is not as a driver
// would send it.
func readMongoCommand(conn net.Conn) string {
	head := make([]byte, 16)
	if _, err := io.ReadFull(conn, head); err != nil {
		return ""
	}
	body := make([]byte, binary.LittleEndian.Uint32(head)-16)
	io.ReadFull(conn, body)
	for _, command := range []string{"hello", "isMaster"} {
		if string(body) == "\x00\x00\x00\x00\x00"+bsonDocument(bsonInt32(command, 1), bsonString("$db", "admin")) &&
			binary.LittleEndian.Uint32(head[12:]) == mongoOpMsg {
			return command
		}
	}
	return ""
}

func TestServerMongoDBStartsAsAMemberOfAReplicaSet(t *testing.T) {
	var state atomic.Value
	set := func(elements ...string) { state.Store(mongoHello(append(elements, bsonDouble("ok", 1))...)) }
	port := unusedPort(t)
	w := startWaiting(t, "mongodb://app:hunter2@127.0.0.1:"+port+"/app?replicaSet=rs0")
	w.waitFor("connection refused")
	set(bsonBool("isreplicaset", true))
	listen(t, "tcp", "127.0.0.1:"+port, func(conn net.Conn) {
		if assert.Equal(t, "hello", readMongoCommand(conn)) {
			io.WriteString(conn, state.Load().(string))
		}
		readUntilClosed(conn)
	})
	w.waitFor("not a member of a replica set yet", "connection refused")
	set(bsonString("setName", "rs0"), bsonBool("secondary", false))
	w.waitFor("neither primary nor secondary: starting, recovering or in rollback", "not a member of a replica set yet")
	set(bsonString("setName", "rs0"), bsonBool("secondary", true))
	w.waitFor("ready", "neither primary nor secondary: starting, recovering or in rollback")
}

func TestServerMongoDBThatDoesNotKnowHelloGetsIsMaster(t *testing.T) {
	commands := make(chan string, 2)
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		commands <- readMongoCommand(conn)
		io.WriteString(conn, mongoHello(bsonDouble("ok", 0), bsonString("errmsg", "no such command: 'hello'"), bsonInt32("code", 59)))
		commands <- readMongoCommand(conn)
		io.WriteString(conn, mongoHello(bsonBool("ismaster", true), bsonDouble("ok", 1)))
		readUntilClosed(conn)
	})
	require.NoError(t, ask(t, "mongodb://"+l.Addr().String(), ForWait))
	assert.Equal(t, "hello", <-commands)
	assert.Equal(t, "isMaster", <-commands)
}

func TestServerMongoDBUsesTLSAsTheURLSays(t *testing.T) {
	secure := listen(t, "tcp", "127.0.0.1:0", withTLS(hostileConfig(t), func(conn net.Conn) {
		io.WriteString(conn, mongoHello(bsonBool("isWritablePrimary", true), bsonDouble("ok", 1)))
		readUntilClosed(conn)
	})).Addr().String()
	plain := serveBytes(t, func(w io.Writer) {
		io.WriteString(w, mongoHello(bsonBool("isWritablePrimary", true), bsonDouble("ok", 1)))
	})
	const selfSigned, noTLS = "the certificate is self-signed", "the server does not speak TLS"
	for _, test := range []struct{ text, want string }{
		{"mongodb://" + secure + "/?tls=true", selfSigned},
		{"mongodb://" + secure + "/?ssl=true", selfSigned},
		{"'mongodb://" + secure + "/?tls=true&tlsInsecure=true'", ""},
		{"'mongodb://" + secure + "/?tls=true&tlsAllowInvalidCertificates=true'", ""},
		{"insecure=true mongodb://" + secure + "/?tls=true", ""},
		{"insecure=true mongodb://" + secure, ""},
		{"mongodb://" + plain, ""},
		{"mongodb://" + plain + "/?tls=false", ""},
		{"mongodb://" + plain + "/?tls=true", noTLS},
	} {
		assertResult(t, test.want, ask(t, test.text, ForWait), test.text)
	}
	_, err := Parse("ca=/x mongodb://db/?tls=false", ForWait)
	assert.ErrorContains(t, err, "ca= needs TLS")
}
