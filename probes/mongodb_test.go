package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Debian has no package of MongoDB, so these tests use fake servers. The fake servers follow
// the specifications of OP_MSG, of BSON and of the server discovery of MongoDB's drivers.

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

// mongoMessage returns an OP_MSG that answers askMongoDB's request. begin holds the bytes
// in front of the document: the flags and the kind of the section.
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

// otherFields has fields that parseMongoReply must skip, of most types of BSON.
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
		{mongoHello(primary), wrong}, // the field ok is missing
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
		{strings.Replace(mongoHello(primary, ok), "\x01\x00\x00\x00\xdd\x07", "\x00\x00\x00\x00\xdd\x07", 1), wrong}, // responseTo in the header is 0, as in a request, which an echo server would send back
		{strings.Replace(mongoHello(primary, ok), "\xdd\x07", "\x01\x00", 1), wrong},
		{"\xff\xff\xff\xff" + mongoHello(primary, ok)[4:], wrong},
		{"\x10\x00\x00\x00" + mongoHello(primary, ok)[4:], wrong},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", wrong},
		{"SSH-2.0-OpenSSH_9.2\r\n", wrong},
	} {
		serverResponses = append(serverResponses, serverResponse{"mongodb", test.response, test.want})
	}
}

// mongoOverHTTP is MongoDB's response to an HTTP request.
const mongoOverHTTP = "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 85\r\n\r\n" +
	"It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n"

// MongoDB answers HTTP requests with status 200 even if it is not ready, so an http:// target
// rejects the response mongoOverHTTP. If the target has match= or status=, only these decide
// which response counts as ready.
func TestHTTPOfMongoDBIsReadyOnlyIfTheTargetExpectsIt(t *testing.T) {
	address := serveBytes(t, func(w io.Writer) { io.WriteString(w, mongoOverHTTP) })
	assert.EqualError(t, ask(t, "http://"+address, ForWait), "MongoDB's port, which does not speak HTTP")
	assert.NoError(t, ask(t, "match='MongoDB over HTTP' http://"+address, ForWait))
	assert.NoError(t, ask(t, "status=200 http://"+address, ForWait))
}

// readMongoCommand reads a request and returns its command, or "" if the request is not
// well-formed.
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

// srvResolver returns a resolver that knows only one SRV record, whose name is record. Every
// host name resolves to 127.0.0.1.
func srvResolver(record string, targets ...*net.SRV) *Resolver {
	r := resolverOf("127.0.0.1")
	r.LookupSRV = func(_ context.Context, name string) ([]*net.SRV, error) {
		if name != record {
			return nil, &net.DNSError{IsNotFound: true}
		}
		return targets, nil
	}
	return r
}

func srvTarget(t *testing.T, address, host string) *net.SRV {
	t.Helper()
	return &net.SRV{Target: host, Port: netip.MustParseAddrPort(address).Port()}
}

func TestServerMongoSRVIsReadyWhenOneOfItsHostsIs(t *testing.T) {
	issuer := newIssuer(t)
	issuer.sign("b", &x509.Certificate{DNSNames: []string{"b.cluster.example"}})
	primary := func(conn net.Conn) {
		io.WriteString(conn, mongoHello(bsonBool("isWritablePrimary", true), bsonDouble("ok", 1)))
		readUntilClosed(conn)
	}
	ready := listen(t, "tcp", "127.0.0.1:0", withTLS(&tls.Config{Certificates: []tls.Certificate{issuer.pair("b")}}, primary)).Addr().String()
	plain := listen(t, "tcp", "127.0.0.1:0", primary).Addr().String()
	arbiter := serveBytes(t, func(w io.Writer) { io.WriteString(w, mongoHello(bsonBool("arbiterOnly", true), bsonDouble("ok", 1))) })
	refused := "127.0.0.1:" + unusedPort(t)
	const record = "_mongodb._tcp.cluster.example"
	ca := "ca=" + issuer.path("ca.pem") + " "
	for _, test := range []struct {
		text     string
		resolver *Resolver
		want     string // a part of the error
	}{
		{ca + "mongodb+srv://u:hunter2@cluster.example/app?retryWrites=true", srvResolver(record, srvTarget(t, refused, "a.cluster.example."), srvTarget(t, ready, "b.cluster.example.")), ""},
		{ca + "mongodb+srv://Cluster.example", srvResolver(record, srvTarget(t, ready, "b.cluster.example")), ""},
		{ca + "mongodb+srv://cluster.example", srvResolver(record, srvTarget(t, ready, "c.cluster.example.")), "the certificate is not for the name c.cluster.example"},
		{"mongodb+srv://cluster.example", srvResolver(record, srvTarget(t, ready, "b.cluster.example.")), "the certificate is signed by an unknown authority"},
		{"mongodb+srv://cluster.example/?tls=false", srvResolver(record, srvTarget(t, plain, "b.cluster.example.")), ""},
		{"mongodb+srv://cluster.example/?ssl=false", srvResolver(record, srvTarget(t, arbiter, "b.cluster.example.")), "an arbiter, which holds no data"},
		{"'mongodb+srv://cluster.example/?tls=false&srvServiceName=db'", srvResolver("_db._tcp.cluster.example", srvTarget(t, plain, "b.cluster.example.")), ""},
		{"mongodb+srv://cluster.example", srvResolver(record, srvTarget(t, refused, "a.cluster.example."), srvTarget(t, refused, "b.cluster.example.")), "connection refused"},
		{"mongodb+srv://cluster.example", srvResolver(record), "the name has no SRV record"},
		{"mongodb+srv://cluster.example", srvResolver(record, &net.SRV{Target: ".", Port: 0}), "the name has no SRV record"},
		{"mongodb+srv://other.example", srvResolver(record), "the name has no SRV record"},
	} {
		err := parse(t, test.text, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: test.resolver})
		if test.want == "" {
			assert.NoError(t, err, test.text)
		} else {
			assert.ErrorContains(t, err, test.want, test.text)
		}
	}
	// If the URL comes from a variable, no error shows the URL or a host from its SRV record.
	hidden, err := parserWith("mongodb+srv://cluster.example/?tls=false").Parse("env:URL", ForWait)
	require.NoError(t, err)
	err = hidden.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: srvResolver(record, srvTarget(t, refused, "a.cluster.example."), srvTarget(t, arbiter, "b.cluster.example."))})
	require.ErrorContains(t, err, "an arbiter")
	assert.NotContains(t, err.Error(), "example")

	_, err = srvResolver(record).lookupSRV(t.Context(), "x")
	assert.Equal(t, hintName, Hint(err))
	assert.Equal(t, unresolved, classify(err))
	assert.Equal(t, "mongodb+srv://cluster.example", parse(t, "mongodb+srv://u:p@cluster.example/db", ForWait).Name)
	for _, text := range []string{"cluster.example:27017", "a.example,b.example", "127.0.0.1", "localhost"} {
		_, err := Parse("mongodb+srv://"+text, ForWait)
		assert.ErrorContains(t, err, "needs one name without a port", text)
	}
	_, err = Parse("mongodb+srv://a.example/?srvServiceName=a%2Fb", ForWait)
	assert.ErrorContains(t, err, "srvServiceName=")
}

// If the name server fails, the resolver keeps the hosts of the last successful lookup. If the
// name server replies that the record does not exist, the resolver drops the hosts.
func TestServerMongoSRVIsLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records []*net.SRV
		var failure error
		lookups := 0
		r := &Resolver{LookupSRV: func(context.Context, string) ([]*net.SRV, error) {
			lookups++
			return records, failure
		}}
		records = []*net.SRV{{Target: "a.example.", Port: 1}}
		for range 3 {
			hosts, err := r.lookupSRV(t.Context(), "x")
			require.NoError(t, err)
			assert.Equal(t, []serverHost{{label: "a.example:1", host: "a.example", port: 1}}, hosts)
		}
		assert.Equal(t, 1, lookups)
		require.NoError(t, sleep(t.Context(), time.Minute))
		records, failure = nil, &net.DNSError{IsTimeout: true}
		hosts, err := r.lookupSRV(t.Context(), "x")
		require.NoError(t, err)
		assert.Len(t, hosts, 1)
		require.NoError(t, sleep(t.Context(), time.Minute))
		failure = &net.DNSError{IsNotFound: true}
		_, err = r.lookupSRV(t.Context(), "x")
		assert.Equal(t, errNoSRV, err)
		assert.Equal(t, 3, lookups)
	})
}

func TestServerMongoSRVIsLookedUpByTheSystemsResolver(t *testing.T) {
	if !runsInNamespace(t, "nameserver 127.0.0.2\noptions timeout:5 attempts:1\n") {
		return
	}
	ready := netip.MustParseAddrPort(serveBytes(t, func(w io.Writer) {
		io.WriteString(w, mongoHello(bsonBool("isWritablePrimary", true), bsonDouble("ok", 1)))
	}))
	server := &nameServer{respond: func(name string, _ int) (byte, []string, bool) {
		switch name {
		case "_mongodb._tcp.cluster.test":
			return noError, []string{"1 a.cluster.test", fmt.Sprint(ready.Port(), " b.cluster.test")}, true
		case "a.cluster.test", "b.cluster.test":
			return noError, []string{"127.0.0.1"}, true
		case "_mongodb._tcp.fails.test":
			return servFail, nil, true
		}
		return nxDomain, nil, true
	}}
	server.start(t, "127.0.0.2:53")
	for text, want := range map[string]string{
		"mongodb+srv://cluster.test/?tls=false": "",
		"mongodb+srv://b.cluster.test":          "the name has no SRV record",
		"mongodb+srv://fails.test":              "cannot look up name: the name server failed",
	} {
		err := parse(t, text, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: new(Resolver)})
		if want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.EqualError(t, err, want, text)
		}
	}
}
