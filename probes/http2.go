package probes

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
)

// One request over HTTP/2, with prior knowledge (RFC 9113) and as little of
// HPACK (RFC 7541) as that needs.
//
// It is spoken here for the same reasons as HTTP/1.1 is, see exchange: net/http's
// client prints five sorts of a server's mistakes to stderr through package log,
// keeps goroutines beside the request, and adds 610 kB to a program of six
// million bytes, where this is a few hundred lines.

// Frames, RFC 9113, section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagAck        = 0x1 // of settings and ping
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	// maxFrame is the largest payload, as no other is announced here.
	maxFrame = 1 << 14
	// maxFrames is far more than an answer has, and ends the patience with a
	// server that sends only frames without a meaning.
	maxFrames = 1000
	// theStream is the number of the only request of a connection.
	theStream = 1
)

var errNoHTTP2 = hinted{answer{"no valid HTTP/2 answer", nil}, hintStranger}

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

func (f frame) append(b []byte) []byte {
	n := len(f.payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), f.kind, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

// content is the payload without padding and priority.
func (f frame) content() ([]byte, error) {
	p, padding := f.payload, 0
	if f.has(flagPadded) {
		if len(p) == 0 {
			return nil, errNoHTTP2
		}
		padding, p = int(p[0]), p[1:]
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		if len(p) < 5 {
			return nil, errNoHTTP2
		}
		p = p[5:]
	}
	if padding > len(p) {
		return nil, errNoHTTP2
	}
	return p[:len(p)-padding], nil
}

// An http2Answer is what is wanted to be known of an answer: of its headers, of
// those that end it, which are its trailers where there are any, and its body.
type http2Answer struct {
	status      string
	contentType string
	grpcStatus  string // of those that end it
	body        []byte // at most maxBodyBytes
}

// headed reports whether the headers have come. Interim answers come before.
func (a *http2Answer) headed() bool { return a.status != "" && a.status[0] != '1' }

// http2Fields are the fields of one block of headers that matter here.
type http2Fields struct{ status, contentType, grpcStatus string }

// postHTTP2 makes the one request of a connection, and reads the answer to its
// end. It sends all at once, which the protocol allows for what is smaller than a
// first window.
func postHTTP2(conn io.ReadWriter, scheme, authority, path string, body []byte) (*http2Answer, error) {
	var fields []byte
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", scheme}, {":authority", authority}, {":path", path},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "usher"},
	} {
		fields = append(fields, 0) // a literal that is not to be remembered
		fields = appendText(fields, f[0])
		fields = appendText(fields, f[1])
	}
	settings := []byte{
		0, 1, 0, 0, 0, 0, // SETTINGS_HEADER_TABLE_SIZE 0: nothing to remember here either
		0, 2, 0, 0, 0, 0, // SETTINGS_ENABLE_PUSH 0
		0, 6, 0, 1, 0, 0, // SETTINGS_MAX_HEADER_LIST_SIZE 64 KiB
	}
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = frame{frameSettings, 0, 0, settings}.append(b)
	b = frame{frameHeaders, flagEndHeaders, theStream, fields}.append(b)
	b = frame{frameData, flagEndStream, theStream, body}.append(b)
	_, written := conn.Write(b)
	answer, err := readHTTP2(conn)
	if err != nil && written != nil {
		return nil, written
	}
	return answer, err
}

// readHTTP2 reads frames until the answer is complete. Nothing of a server's own
// settings matters to a request that is already sent, but it is told that they
// were read. All that it may send is limited together, so that frames without a
// meaning are not read for ever either.
func readHTTP2(conn io.ReadWriter) (*http2Answer, error) {
	limit := &io.LimitedReader{R: conn, N: maxHeaderBytes + maxBodyBytes}
	r := bufio.NewReader(limit)
	if err := speaksHTTP2(r); err != nil {
		return nil, err
	}
	a := new(http2Answer)
	for n := range maxFrames {
		f, err := readFrame(r)
		if err == nil && f.kind == frameHeaders {
			err = readContinuation(r, &f)
		}
		switch {
		case err != nil && limit.N <= 0:
			return nil, answer{fmt.Sprintf("more than %d KiB of answer", (maxHeaderBytes+maxBodyBytes)>>10), nil}
		case err != nil:
			return nil, err
		case n == 0 && (f.kind != frameSettings || f.has(flagAck)):
			return nil, errNoHTTP2
		}
		if done, err := a.take(conn, f); done || err != nil {
			return a, err
		}
	}
	return nil, answer{fmt.Sprintf("more than %d frames of answer", maxFrames), nil}
}

// speaksHTTP2 looks at the first bytes of an answer. That a server speaks
// something else is the most common mistake in a target.
func speaksHTTP2(r *bufio.Reader) error {
	begin, err := r.Peek(5)
	switch {
	case bytes.HasPrefix(begin, []byte("HTTP/")):
		return hinted{answer{"the server speaks HTTP/1, not HTTP/2", nil}, hintStranger}
	case bytes.HasPrefix(begin, []byte{0x15, 0x03}): // an alert, RFC 8446, section 5.1
		return answer{"the server wants TLS: write grpcs://", nil}
	}
	return err
}

func readFrame(r io.Reader) (f frame, err error) {
	var head [9]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if n > maxFrame {
		return f, errNoHTTP2
	}
	f = frame{head[3], head[4], binary.BigEndian.Uint32(head[5:]) &^ (1 << 31), make([]byte, n)}
	_, err = io.ReadFull(r, f.payload)
	return f, err
}

// readContinuation reads the rest of headers that do not fit into one frame:
// nothing else may come in between.
func readContinuation(r io.Reader, f *frame) error {
	block, err := f.content()
	if err != nil {
		return err
	}
	for !f.has(flagEndHeaders) {
		more, err := readFrame(r)
		switch {
		case err != nil:
			return err
		case more.kind != frameContinuation || more.stream != f.stream:
			return errNoHTTP2
		}
		block = append(block, more.payload...)
		f.flags |= more.flags & flagEndHeaders
	}
	f.flags &^= flagPadded | flagPriority
	f.payload = block
	return nil
}

// take takes in one frame, and reports whether it was the last one.
func (a *http2Answer) take(w io.Writer, f frame) (done bool, err error) {
	switch f.kind {
	case frameSettings, framePing:
		if f.stream != 0 {
			return false, errNoHTTP2
		}
		if f.has(flagAck) {
			return false, nil
		}
		reply := frame{kind: f.kind, flags: flagAck}
		if f.kind == framePing {
			reply.payload = f.payload
		}
		_, _ = w.Write(reply.append(nil)) // a server that is gone may have answered before
		return false, nil
	case frameGoAway:
		if len(f.payload) < 8 {
			return false, errNoHTTP2
		}
		if last := binary.BigEndian.Uint32(f.payload) &^ (1 << 31); last < theStream {
			return false, answer{fmt.Sprintf("the server takes no requests: %s", http2Error(f.payload[4:])), nil}
		}
		return false, nil // it goes, but will answer this one
	case frameReset:
		if f.stream != theStream || len(f.payload) != 4 {
			return false, errNoHTTP2
		}
		return false, answer{fmt.Sprintf("the server broke off the answer: %s", http2Error(f.payload)), nil}
	case frameData, frameHeaders:
		if f.stream != theStream {
			return false, errNoHTTP2
		}
		return a.takeContent(f)
	case framePush, frameContinuation: // the one is switched off, the other begins nothing
		return false, errNoHTTP2
	}
	return false, nil // RFC 9113, section 4.1: an unknown one is ignored
}

func (a *http2Answer) takeContent(f frame) (done bool, err error) {
	content, err := f.content()
	done = f.has(flagEndStream)
	switch {
	case err != nil:
		return false, err
	case f.kind == frameHeaders:
		return done, a.takeFields(content, done)
	case !a.headed():
		return false, errNoHTTP2
	}
	a.body = append(a.body, content[:min(len(content), maxBodyBytes-len(a.body))]...)
	return done, nil
}

// takeFields takes in a block of headers. Trailers are the last thing of an
// answer, or they are none (RFC 9113, section 8.1).
func (a *http2Answer) takeFields(block []byte, last bool) error {
	fields, err := readFields(block)
	switch {
	case err != nil:
		return err
	case a.headed() && !last, !a.headed() && fields.status == "":
		return errNoHTTP2
	case !a.headed():
		a.status, a.contentType = fields.status, fields.contentType
	}
	if last {
		a.grpcStatus = fields.grpcStatus
	}
	return nil
}

// http2Errors are the codes of RFC 9113, section 7.
var http2Errors = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func http2Error(code []byte) string {
	if n := binary.BigEndian.Uint32(code); n < uint32(len(http2Errors)) {
		return http2Errors[n]
	}
	return "an unknown error"
}

// readFields reads a block of headers (RFC 7541, section 6). There is no dynamic
// table, because the settings forbid it.
func readFields(block []byte) (fields http2Fields, err error) {
	for len(block) > 0 {
		var (
			first = block[0]
			index int
			name  string
			value string
		)
		switch {
		case first&0x80 != 0: // a name and a value from the table
			if index, block, err = readInt(block, 7); err == nil {
				name, value, err = static(index)
			}
		case first&0xe0 == 0x20: // the size of the dynamic table
			_, block, err = readInt(block, 5)
		default: // a name from the table or written out, and a value
			bits := 4
			if first&0x40 != 0 {
				bits = 6
			}
			if index, block, err = readInt(block, bits); err != nil {
				break
			}
			if index > 0 {
				name, _, err = static(index)
			} else {
				name, block, err = readText(block)
			}
			if err == nil {
				value, block, err = readText(block)
			}
		}
		if err != nil {
			return fields, err
		}
		switch name {
		case ":status":
			fields.status = value
		case "content-type":
			fields.contentType = value
		case "grpc-status":
			fields.grpcStatus = value
		}
	}
	return fields, nil
}

// static looks into the static table, RFC 7541, appendix A. Of its 61 entries
// only the statuses and the content type matter here; the others have no name.
func static(index int) (name, value string, err error) {
	switch {
	case index < 1 || index > 61:
		return "", "", errNoHTTP2
	case 8 <= index && index <= 14:
		return ":status", strconv.Itoa([...]int{200, 204, 206, 304, 400, 404, 500}[index-8]), nil
	case index == 31:
		return "content-type", "", nil
	}
	return "", "", nil
}

// appendText writes a string that is not compressed.
func appendText(b []byte, s string) []byte {
	const most = 1<<7 - 1
	n := len(s)
	if n < most {
		return append(append(b, byte(n)), s...)
	}
	b = binary.AppendUvarint(append(b, most), uint64(n-most)) // the same form as RFC 7541, section 5.1
	return append(b, s...)
}

// readInt reads an integer that begins in the last bits of a byte.
func readInt(b []byte, bits int) (n int, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errNoHTTP2
	}
	most := 1<<bits - 1
	n, b = int(b[0])&most, b[1:]
	if n < most {
		return n, b, nil
	}
	more, size := binary.Uvarint(b)
	if size <= 0 || more > maxHeaderBytes {
		return 0, nil, errNoHTTP2
	}
	return n + int(more), b[size:], nil
}

// readText reads a string, compressed or not.
func readText(b []byte) (s string, rest []byte, err error) {
	if len(b) == 0 {
		return "", nil, errNoHTTP2
	}
	compressed := b[0]&0x80 != 0
	n, b, err := readInt(b, 7)
	if err != nil || n > len(b) {
		return "", nil, errNoHTTP2
	}
	if compressed {
		return huffman(b[:n]), b[n:], nil
	}
	return string(b[:n]), b[n:], nil
}

// huffmanSymbols has the symbols of the code of RFC 7541, appendix B, by the
// length of their bits. The code is canonical: those of a length are consecutive
// numbers, in the order of the symbols, and the next length goes on from there.
// All letters, digits and marks of what is looked for here ("application/grpc+proto")
// are in the shortest of its 21 lengths.
var huffmanSymbols = [...]string{
	5: "012aceiost",
	6: " %-./3456789=A_bdfghlmnpru",
	7: ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
	8: "&*,;XZ", 10: `!"()?`, 11: "'+|",
}

// huffman decompresses a string, or gives "" for one with other symbols, which
// is none that is looked for.
func huffman(b []byte) string {
	var s []byte
	code, length, first := 0, 0, 0 // the bits so far, and the first code of their length
	for _, c := range b {
		for shift := 7; shift >= 0; shift-- {
			code = code<<1 | int(c)>>shift&1
			length++
			if length >= len(huffmanSymbols) {
				return ""
			}
			symbols := huffmanSymbols[length]
			if i := code - first; i < len(symbols) {
				s = append(s, symbols[i])
				code, length, first = 0, 0, 0
				continue
			}
			first = (first + len(symbols)) << 1
		}
	}
	return string(s) // the bits that are left over fill the last byte
}
