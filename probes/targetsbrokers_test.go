package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// mongoHTTP is what MongoDB answers to an HTTP request, whether it is ready or not.
const mongoHTTP = "It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n"

func (t *talk) mongodb() {
	if head, err := t.r.Peek(4); err == nil && slices.Contains([]string{"GET ", "POST", "HEAD"}, string(head)) {
		if t.say(fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(mongoHTTP), mongoHTTP)) {
			t.add(answer{status: 200})
		}
		return
	}
	for {
		head := []byte(t.read(16))
		if len(head) == 0 {
			return
		}
		size, id, opcode := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
		if size < 26 || size > 10000 || opcode != 2013 {
			return
		}
		body := t.read(int(size) - 16)
		old := t.variant%4 == 3 && t.state == isReady && strings.Contains(body, "hello")
		doc := t.mongoReply(old)
		reply := binary.LittleEndian.AppendUint32(nil, uint32(16+5+len(doc)))
		reply = append(reply, 7, 0, 0, 0)
		reply = binary.LittleEndian.AppendUint32(reply, id)
		reply = append(reply, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0)
		if !t.say(string(append(reply, doc...))) {
			return
		}
		t.answered(t.accepts() && !old)
	}
}

func (t *talk) mongoReply(old bool) string {
	yes := func(name string) string { return "\x08" + name + "\x00\x01" }
	no := func(name string) string { return "\x08" + name + "\x00\x00" }
	text := func(name, value string) string {
		return "\x02" + name + "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(value)+1))) + value + "\x00"
	}
	code := func(n uint32) string { return "\x10code\x00" + string(binary.LittleEndian.AppendUint32(nil, n)) }
	number := func(name string, value float64) string {
		return "\x01" + name + "\x00" + string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(value)))
	}
	fields := text("me", "CANARY") + "\x07oid\x00123456789012"
	ok := 1.0
	switch {
	case old:
		ok, fields = 0, code(59)+text("errmsg", "CANARY")
	case t.state == wantsPassword:
		ok, fields = 0, code(13)
	case t.state == isStarting:
		switch t.variant % 5 {
		case 0:
			fields += no("isWritablePrimary") + no("secondary")
		case 1:
			fields += no("isWritablePrimary") + yes("isreplicaset")
		case 2:
			fields += no("secondary") + yes("arbiterOnly")
		case 3:
			ok, fields = 0, code(91)
		case 4:
			ok, fields = 0, code(1)
		}
	default:
		fields += t.choose(yes("isWritablePrimary"), no("ismaster")+yes("secondary"), no("secondary")+text("msg", "isdbgrid"), yes("ismaster"))
	}
	fields += number("ok", ok) + "\x00"
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(fields)+4))) + fields
}

func (t *talk) kafka() {
	var refused bool
	for {
		head := t.read(4)
		if head == "" {
			return
		}
		size := binary.BigEndian.Uint32([]byte(head))
		if size < 10 || size > 10000 {
			return
		}
		request := []byte(t.read(int(size)))
		if len(request) == 0 {
			return
		}
		key, version := binary.BigEndian.Uint16(request), binary.BigEndian.Uint16(request[2:])
		var b bytes.Buffer
		put := func(values ...any) {
			for _, v := range values {
				binary.Write(&b, binary.BigEndian, v)
			}
		}
		ready := false
		switch key {
		case 18: // ApiVersions
			apis := []any{uint16(18), uint16(0), uint16(4)}
			if t.state != isStarting || t.variant%4 != 0 {
				apis = append(apis, uint16(3), uint16(0), uint16([]int{1, 2, 4, 8, 12}[t.variant%5]))
			}
			if t.state == wantsPassword || t.variant%3 == 0 {
				apis = append(apis, uint16(17), uint16(0), uint16(1))
			}
			code := uint16(0)
			if t.state == isStarting && t.variant%4 == 1 {
				code = 35
			}
			put(code, uint32(len(apis)/3))
			put(apis...)
		case 17: // SaslHandshake
			switch {
			case t.state != wantsPassword:
				put(uint16(34), uint32(0))
			case t.variant%2 == 0:
				put(uint16(0), uint32(1), uint16(5), []byte("PLAIN"))
				ready = true
			default:
				put(uint16(33), uint32(1), uint16(5), []byte("SCRAM"))
				refused = true
			}
		case 3: // Metadata
			if t.state == wantsPassword {
				if refused {
					t.answered(true)
				}
				return
			}
			if version >= 3 {
				put(uint32(0))
			}
			brokers, controller := uint32(1), uint32(1)
			if t.state == isStarting {
				brokers, controller = 0, math.MaxUint32
				if t.variant%4 == 3 {
					brokers = 1
				}
			}
			put(brokers)
			for range brokers {
				put(uint32(1), uint16(6), []byte("CANARY"), uint32(9092), uint16(math.MaxUint16))
			}
			if version >= 2 {
				put(uint16(7), []byte("cluster"))
			}
			put(controller, uint32(0))
			ready = t.accepts()
		default:
			return
		}
		answer := binary.BigEndian.AppendUint32(nil, uint32(b.Len()+4))
		answer = append(append(answer, request[4:8]...), b.Bytes()...)
		if !t.say(string(answer)) {
			return
		}
		if key != 18 {
			t.answered(ready)
		}
	}
}

// bodyLimit is the maximum number of bytes of a body that a probe reads (see doc.go).
const bodyLimit = 10 << 10

func (t *talk) http() {
	req, err := http.ReadRequest(t.r)
	if err != nil {
		return
	}
	io.Copy(io.Discard, req.Body)
	if t.interim && !t.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: CANARY\r\n\r\n") {
		return
	}
	body := strings.Repeat("CANARY-", t.size/7+1)[:t.size]
	if t.matchAt >= 0 {
		body = body[:t.matchAt] + matchedText + body[t.matchAt:]
	}
	head := fmt.Sprintf("HTTP/1.1 %d CANARY\r\n", t.status)
	if t.location != "" {
		head += "Location: " + t.location + "\r\n"
	}
	scheme := "http"
	if t.secure {
		scheme = "https"
	}
	a := answer{status: t.status, location: t.location, scheme: scheme}
	if req.Method == "HEAD" || t.status == 204 || t.status == 304 {
		if t.say(head + "\r\n") {
			t.add(a)
		}
		return
	}
	needed := min(len(body), bodyLimit)
	a.matches = strings.Contains(body[:needed], matchedText)
	switch t.framing {
	case "length":
		if t.say(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(body)) + body[:needed]) {
			t.add(a)
			t.say(body[needed:])
		}
	case "chunks":
		chunks := ""
		for rest, sent := body, 0; len(rest) > 0; {
			n := min(len(rest), 1+t.variant*37)
			chunks += fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n])
			rest, sent = rest[n:], sent+n
			if sent >= needed {
				body = rest
				break
			}
		}
		end := "0\r\n\r\n"
		if len(body) > 0 && needed == bodyLimit {
			if t.say(head + "Transfer-Encoding: chunked\r\n\r\n" + chunks) {
				t.add(a)
				t.say(end)
			}
			return
		}
		if t.say(head + "Transfer-Encoding: chunked\r\n\r\n" + chunks + end) {
			t.add(a)
		}
	default:
		// The answer has no Content-Length, so the body ends with the connection, and a client takes
		// a body that was cut off for a complete one. Therefore t.add is called once the headers
		// have been sent or, if the body has the text that match= wants, once that text has been sent.
		if t.say(head + "\r\n") {
			if a.matches {
				t.say(body[:needed])
			}
			t.add(a)
			if !a.matches {
				t.say(body)
			}
		}
	}
}

func (t *talk) grpc() {
	if t.read(len(http2.ClientPreface)) != http2.ClientPreface {
		return
	}
	var out bytes.Buffer
	framer := http2.NewFramer(&out, t.r)
	flush := func() bool {
		ok := t.say(out.String())
		out.Reset()
		return ok
	}
	framer.WriteSettings()
	if t.variant%3 == 0 {
		framer.WritePing(false, [8]byte{})
	}
	if !flush() {
		return
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if data, ok := f.(*http2.DataFrame); ok && data.StreamEnded() {
			break
		}
	}
	fields := func(pairs ...string) []byte {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := 0; i < len(pairs); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return block.Bytes()
	}
	headers := func(end bool, pairs ...string) {
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: end, BlockFragment: fields(pairs...)})
	}
	health := ""
	switch t.state {
	case isReady:
		health = "\x00\x00\x00\x00\x02\x08\x01"
	case isStarting:
		health = t.choose("\x00\x00\x00\x00\x02\x08\x02", "", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x02\x08\x03", "503")
	}
	status := map[string]string{isReady: "0", isStarting: "0", wantsPassword: "16", isFull: "8"}[t.state]
	switch {
	case health == "503":
		headers(true, ":status", "503")
	case health == "":
		if status == "0" {
			status = "14"
		}
		headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", status, "grpc-message", "CANARY")
	default:
		headers(false, ":status", "200", "content-type", "application/grpc")
		framer.WriteData(1, false, []byte(health))
		headers(true, "grpc-status", status, "grpc-message", "CANARY")
	}
	if flush() {
		t.answered(t.state == isReady)
	}
	t.nothing()
}
