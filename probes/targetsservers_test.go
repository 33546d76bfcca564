package probes

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

// States that a server reports. Each means the same for every protocol.
const (
	isReady       = "ready"
	wantsPassword = "wants a password"
	isFull        = "full"
	isStarting    = "starting"
)

// What a server does instead of speaking a protocol.
const (
	saysNothing  = "nothing"
	sendsGarbage = "garbage"
	echoes       = "echo"
	isEndless    = "endless data"
)

// protocols holds, for each value of serverPhase.speaks, the method that plays the server. The
// method of a protocol sends what a real server sends in the planned state. When it has sent enough
// for a probe to know whether the server is ready, it records that by talk.answered or talk.add.
var protocols = map[string]func(*talk){
	"tcp": (*talk).tcp, "http": (*talk).http, "grpc": (*talk).grpc,
	"postgres": (*talk).postgres, "mysql": (*talk).mysql, "redis": (*talk).redis, "amqp": (*talk).amqp, "nats": (*talk).nats,
	"mqtt": (*talk).mqtt, "memcached": (*talk).memcached, "mongodb": (*talk).mongodb, "kafka": (*talk).kafka,
	saysNothing: (*talk).nothing, sendsGarbage: (*talk).garbage, echoes: (*talk).echo, isEndless: (*talk).endless,
}

// startsTLSLater are the protocols in which TLS does not start with the first byte. TLS starts
// after the first messages, and with memcached never.
var startsTLSLater = []string{"postgres", "mysql", "nats", "memcached"}

// A talk is the server's side of one connection.
type talk struct {
	*serverPhase
	net     *fakeNet
	address string
	client  *fakeConn
	conn    net.Conn
	r       *bufio.Reader
	secure  bool
	certs   *certificates
}

// An answer records one complete answer that a server has sent, for the checks of a trial.
type answer struct {
	at      time.Duration
	address string
	speaks  string
	state   string
	secure  bool
	cert    string
	ready   bool // the server accepts clients
	// HTTP
	status   int
	location string
	matches  bool
	scheme   string
}

func (t *talk) answered(ready bool) { t.add(answer{ready: ready}) }

func (t *talk) add(a answer) {
	if t.client.closedBefore(time.Now()) {
		return // the answer is too late, because the client closed the connection at an earlier instant
	}
	a.at, a.address, a.speaks, a.state, a.secure, a.cert = t.net.elapsed(), t.address, t.speaks, t.state, t.secure, t.cert
	t.net.recordMu.Lock()
	defer t.net.recordMu.Unlock()
	t.net.answers = append(t.net.answers, &a)
}

// serveTalk serves one connection. phase says how the server behaves on it.
func serveTalk(n *fakeNet, c *fakeConn, phase *serverPhase, address string, certs *certificates) {
	t := &talk{serverPhase: phase, net: n, address: address, client: c.peer, certs: certs}
	t.use(&spoiledConn{fakeConn: c, phase: phase}, false)
	if phase.cert != "" && !slices.Contains(startsTLSLater, phase.speaks) && !t.startTLS() {
		return
	}
	protocols[phase.speaks](t)
	if phase.lingers {
		if phase.variant%2 == 0 {
			t.flood("CANARY\r\n")
		}
		<-n.stop
	}
	if secure, ok := t.conn.(*tls.Conn); ok {
		secure.CloseWrite()
	}
	c.CloseWrite()
	io.Copy(io.Discard, c)
}

// use makes the talk use conn, and records the data that is read from conn.
func (t *talk) use(conn net.Conn, secure bool) {
	t.conn, t.secure = conn, secure
	sent := sentRecord{t.net.elapsed(), t.address, secure, new(bytes.Buffer)}
	t.net.recordMu.Lock()
	t.net.sent = append(t.net.sent, sent)
	t.net.recordMu.Unlock()
	t.r = bufio.NewReader(io.TeeReader(conn, lockedWriter{t.net.record, sent.data}))
}

type lockedWriter struct {
	*record
	w io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.recordMu.Lock()
	defer l.recordMu.Unlock()
	return l.w.Write(p)
}

func (t *talk) startTLS() bool {
	protocols := []string{"http/1.1"}
	switch t.speaks {
	case "grpc":
		protocols = []string{"h2"}
	case "postgres":
		protocols = []string{"postgresql"}
	}
	config := &tls.Config{Certificates: []tls.Certificate{t.certs.pair[t.cert]}, NextProtos: protocols}
	secure := tls.Server(bufferedConn{t.conn, t.r}, config)
	if secure.Handshake() != nil {
		return false
	}
	t.use(secure, true)
	return true
}

// A bufferedConn reads through r, so that the data that r has already read from the connection is
// not lost.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// say sends text. It returns false if the connection has ended.
func (t *talk) say(text string) bool {
	_, err := io.WriteString(t.conn, text)
	return err == nil
}

// read reads n bytes. It returns "" if the connection ends before.
func (t *talk) read(n int) string {
	data := make([]byte, n)
	if _, err := io.ReadFull(t.r, data); err != nil {
		return ""
	}
	return string(data)
}

func (t *talk) line() (string, bool) {
	line, err := t.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err == nil
}

func (t *talk) accepts() bool { return t.state != isStarting }

// choose returns the text that the variant selects.
func (t *talk) choose(texts ...string) string { return texts[t.variant%len(texts)] }

func (t *talk) nothing() { io.Copy(io.Discard, t.r) }
func (t *talk) echo()    { io.Copy(t.conn, t.r) }

func (t *talk) garbage() {
	random := rand.New(rand.NewPCG(uint64(t.variant), 1))
	data := make([]byte, 1+random.IntN(300))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	t.say(string(data))
}

func (t *talk) endless() {
	begin, more := "", ""
	switch t.variant % 6 {
	case 0:
		more = "x"
	case 1:
		more = "\x00"
	case 2:
		begin, more = "HTTP/1.1 200 OK\r\n", "X: CANARY\r\n"
	case 3:
		more = "HTTP/1.1 103 Early Hints\r\n\r\n"
	case 4: // HTTP/2: SETTINGS, and then PINGs
		begin, more = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
	case 5:
		more = "+\r\n"
	}
	t.say(begin)
	t.flood(more)
}

// flood sends far more than a client may read, and then nothing more.
func (t *talk) flood(text string) {
	for sent := 0; sent < 1<<20 && t.say(strings.Repeat(text, 4096/len(text))); sent += 4096 {
	}
	t.nothing()
}

func (t *talk) tcp() {
	if t.state == isReady {
		text := t.choose("", "220 ", strings.Repeat("x", 5000)) + matchedText
		if t.variant%2 == 0 { // wait until the client has sent something, or has closed the connection
			t.r.Peek(1)
		}
		if t.say(text) {
			t.answered(true)
		}
		return
	}
	t.say("CANARY: " + t.state + "\r\n")
}

func (t *talk) redis() {
	if t.state == isFull {
		if t.say("-ERR max number of clients " + t.choose("reached", "+ cluster connections reached") + "\r\n") {
			t.answered(true)
		}
		return
	}
	for {
		line, ok := t.line()
		if !ok {
			return
		}
		command := line
		if strings.HasPrefix(line, "*") {
			t.line()
			command, ok = t.line()
		}
		answer := "-ERR unknown command CANARY"
		if command == "PING" {
			answer = map[string]string{
				isReady:       t.choose("+PONG", "-MISCONF CANARY", "-ERR unknown command 'PING'"),
				wantsPassword: t.choose("-NOAUTH Authentication required.", "-NOPERM CANARY", "-DENIED CANARY", "-ERR operation not permitted"),
				isStarting:    t.choose("-LOADING Redis is loading CANARY", "-MASTERDOWN CANARY", "-BUSY CANARY", "-CANARY"),
			}[t.state]
		}
		if !ok || !t.say(answer+"\r\n") {
			return
		}
		if command == "PING" {
			t.answered(t.accepts() && !strings.HasPrefix(answer, "-MISCONF"))
		}
	}
}

func (t *talk) memcached() {
	if t.state == isFull {
		if t.say("ERROR Too many open connections\r\n") {
			t.answered(true)
		}
		return
	}
	binaryOnly := t.state == wantsPassword && t.variant%2 == 1
	if magic, err := t.r.Peek(1); err != nil || magic[0] == 0x80 || binaryOnly {
		if head := t.read(24); strings.HasPrefix(head, "\x80\x0b") && t.state != isStarting {
			if t.say("\x81\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06" + strings.Repeat("\x00", 12)) {
				t.answered(true) // the header holds the result, so the client need not read the version
				t.say("CANARY")
			}
		}
		return
	}
	for {
		line, ok := t.line()
		switch {
		case !ok, line == "quit":
			return
		case line != "version":
			t.say("ERROR\r\n")
			continue
		}
		ok = t.say(map[string]string{
			isReady:       "VERSION 1.6.38 CANARY\r\n",
			wantsPassword: "CLIENT_ERROR unauthenticated\r\n",
			isStarting:    "SERVER_ERROR out of memory CANARY\r\n",
		}[t.state])
		if !ok {
			return
		}
		t.answered(t.accepts())
	}
}

func (t *talk) amqp() {
	head := t.read(8)
	if !strings.HasPrefix(head, "AMQP") || t.state == isStarting {
		return
	}
	if t.variant%4 == 3 {
		if t.say("AMQP\x03\x01\x00\x00") {
			t.answered(true)
		}
		return
	}
	payload := "\x00\x0a\x00\x0a\x00\x09" + "\x00\x00\x00\x00" + "\x00\x00\x00\x06CANARY" + "\x00\x00\x00\x05en_US"
	size := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	if t.say("\x01\x00\x00" + string(size) + payload + "\xce") {
		t.answered(true)
	}
	t.nothing()
}

func (t *talk) nats() {
	if t.state == isStarting {
		t.say("-ERR 'CANARY'\r\n")
		return
	}
	// If the variant is odd, choose returns the second text, with which INFO does not fit into
	// the probe's buffer of 4 KiB.
	info := `INFO {"server_id":"CANARY","connect_urls":["` + t.choose("", strings.Repeat("10.0.0.1:4222,", 400)) + `"]`
	if t.cert != "" {
		info = strings.Replace(info, "{", `{"tls_required":true,`, 1)
	}
	if !t.say(info + "}\r\n") {
		return
	}
	t.answered(true)
	if t.state == isFull {
		t.say("-ERR 'maximum connections exceeded'\r\n")
		return
	}
	if t.cert != "" {
		if t.startTLS() {
			t.answered(true)
			t.nothing()
		}
		return
	}
	t.nothing()
}

func (t *talk) mqtt() {
	head := t.read(2)
	if !strings.HasPrefix(head, "\x10") || head[1] > 127 || t.read(int(head[1])) == "" {
		return
	}
	answer := map[string]string{
		isReady:       t.choose("\x20\x02\x00\x00", "\x20\x03\x00\x00\x00"),
		wantsPassword: t.choose("\x20\x02\x00\x05", "\x20\x02\x00\x04", "\x20\x02\x00\x01", "\x20\x02\x00\x02"),
		isStarting:    t.choose("\x20\x02\x00\x03", "\x20\x03\x00\x88\x00", "\x20\x03\x00\x89\x00"),
	}[t.state]
	if answer != "" && t.say(answer) {
		t.answered(t.accepts())
	}
	t.nothing()
}

func (t *talk) postgres() {
	for {
		size := binary.BigEndian.Uint32(append([]byte(t.read(4)), 0, 0, 0, 0))
		if size < 8 || size > 10000 {
			return
		}
		message := t.read(int(size) - 4)
		switch {
		case message == "\x04\xd2\x16\x2f" && !t.secure: // SSLRequest
			if t.cert == "" {
				t.say("N")
				continue
			}
			if !t.say("S") || !t.startTLS() {
				return
			}
			continue
		case !strings.HasPrefix(message, "\x00\x03\x00\x00"):
			return
		}
		break
	}
	failure := func(code, text string) string {
		body := "SFATAL\x00VFATAL\x00C" + code + "\x00M" + text + "\x00Fpostmaster.c\x00\x00"
		return "E" + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
	}
	answer := map[string]string{
		isReady:       t.choose("R\x00\x00\x00\x08\x00\x00\x00\x00", failure("3D000", "database CANARY does not exist")),
		wantsPassword: t.choose("R\x00\x00\x00\x0c\x00\x00\x00\x05salt", "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", failure("28000", "CANARY")),
		isFull:        failure("53300", "sorry, too many clients already"),
		isStarting: t.choose(failure("57P03", "the database system is starting up"), failure("57P03", "the database system is shutting down"),
			failure("57P03", "CANARY"), failure("08P01", "query_wait_timeout")),
	}[t.state]
	if t.say(answer) {
		t.answered(t.accepts())
	}
	t.nothing()
}

func (t *talk) mysql() {
	packet := func(number byte, text string) string {
		return string([]byte{byte(len(text)), byte(len(text) >> 8), 0, number}) + text
	}
	failure := func(code uint16, text string) string {
		return "\xff" + string(binary.LittleEndian.AppendUint16(nil, code)) + text
	}
	switch t.state {
	case isFull:
		if t.say(packet(0, failure(1040, "Too many connections CANARY"))) {
			t.answered(true)
		}
		return
	case isStarting:
		t.say(packet(0, failure([]uint16{1053, 1105}[t.variant%2], "CANARY")))
		return
	}
	flags := uint32(0x88201)
	if t.cert != "" {
		flags |= 0x800 // CLIENT_SSL
	}
	plugin := t.choose("mysql_native_password", "caching_sha2_password")
	greeting := fmt.Sprintf("\x0a11.8-CANARY\x00\x01\x00\x00\x00challeng\x00%c%c\x2d\x02\x00%c%c\x15%sechallenge12\x00%s\x00",
		byte(flags), byte(flags>>8), byte(flags>>16), byte(flags>>24), strings.Repeat("\x00", 10), plugin)
	if !t.say(packet(0, latin1(greeting))) {
		return
	}
	t.answered(true)
	number := byte(2)
	for {
		head := t.read(4)
		if head == "" {
			return
		}
		login := t.read(int(head[0]))
		if len(login) == 32 && t.cert != "" && !t.secure {
			if !t.startTLS() {
				return
			}
			t.answered(true)
			number = 3
			continue
		}
		break
	}
	switch t.variant % 3 {
	case 0:
		t.say(packet(number, failure(1045, "#28000Access denied CANARY")))
	case 1:
		t.say(packet(number, "\x00\x00\x00\x02\x00\x00\x00"))
		t.nothing()
	case 2:
		t.say(packet(number, "\xfemysql_native_password\x00challenge-challenge-\x00"))
		t.read(4)
		t.say(packet(number+2, failure(1045, "#28000Access denied CANARY")))
	}
}

// latin1 turns each character of text into one byte.
func latin1(text string) string {
	var b []byte
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}
