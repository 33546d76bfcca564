package probes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// This file makes one request over HTTP/2 (RFC 9113), on its own connection.
// golang.org/x/net encodes and decodes frames and header fields, as it does for grpc-go.
//
// net/http's Transport is not used. Its goroutines outlive the request. It prints through
// package log when a server sends a frame of an unknown type (which RFC 9113, section 5.5,
// allows). It has no exported error for GOAWAY. And it adds 580 kB to the program, while
// x/net adds 150 kB.
const (
	// maxFrameSize is the maximum size of a frame's payload. It is the default of RFC 9113,
	// and postHTTP2 does not announce another value.
	maxFrameSize = 1 << 14
	// maxFrames is the maximum number of frames that are read. A response needs far fewer.
	// The limit ends an attempt if the server sends settings or pings without end.
	maxFrames = 1000
	// streamID is the stream identifier of a client's first request. Each connection has
	// only one request.
	streamID = 1
)

var errNoHTTP2 = hintedError{errors.New("not a valid HTTP/2 response"), hintWrongProtocol}

// An http2Response holds the parts of a response that the caller needs.
type http2Response struct {
	status      string
	contentType string
	fields      []hpack.HeaderField // the headers
	grpcStatus  string              // grpc-status from the trailers, or from the headers if the response has only headers
	body        []byte              // at most maxBodyBytes
}

// postHTTP2 sends one request, and reads the response to its end. It sends the whole request
// at once, so body must fit into one frame (16 KiB). The flow-control window with which every
// server starts is larger.
func postHTTP2(conn io.ReadWriter, scheme, authority, path string, body []byte) (*http2Response, error) {
	w := bufio.NewWriter(conn)
	limit := &io.LimitedReader{R: conn, N: maxHeaderBytes + maxBodyBytes}
	r := bufio.NewReader(limit)
	framer := http2.NewFramer(w, r)
	framer.SetMaxReadFrameSize(maxFrameSize)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil) // 4096 is the default size of the header table, RFC 9113, section 6.5.2
	framer.MaxHeaderListSize = maxHeaderBytes

	// The errors of these writes are ignored, because Flush returns them. A server may
	// respond and close the connection before it has read everything, so the response is
	// read even if Flush fails.
	_, _ = w.WriteString(http2.ClientPreface)
	_ = framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderBytes})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: streamID, EndHeaders: true, BlockFragment: requestFields(scheme, authority, path)})
	_ = framer.WriteData(streamID, true, body)
	written := w.Flush()

	var a *http2Response
	err := checkProtocol(r)
	if err == nil {
		a, err = readResponse(framer, w.Flush)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		switch {
		case limit.N <= 0:
			err = probeError{fmt.Sprintf("more than %d KiB of response", (maxHeaderBytes+maxBodyBytes)>>10), nil}
		case written != nil:
			err = written
		}
	}
	if err != nil {
		return nil, sanitizeHTTPErr(err, errNoHTTP2)
	}
	return a, nil
}

// requestFields encodes the header fields of the request.
func requestFields(scheme, authority, path string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: scheme},
		{Name: ":authority", Value: authority},
		{Name: ":path", Value: path},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
		{Name: "user-agent", Value: "usher"},
	} {
		_ = encoder.WriteField(f) // writing to a bytes.Buffer does not fail
	}
	return block.Bytes()
}

// checkProtocol returns an error if the response begins like HTTP/1 or a TLS alert, or cannot
// be read. A wrong scheme or port is the most common mistake in a target.
func checkProtocol(r *bufio.Reader) error {
	begin, err := r.Peek(5)
	switch {
	case bytes.HasPrefix(begin, []byte("HTTP/")):
		return hintedError{probeError{"the server speaks HTTP/1, not HTTP/2", nil}, hintWrongProtocol}
	case bytes.HasPrefix(begin, []byte(tlsAlert)):
		return probeError{"the server wants TLS: write grpcs://", nil}
	}
	return err
}

// readResponse reads frames until the response is complete. It ignores the values of the
// server's settings, because the request is already sent. It acknowledges the settings,
// because otherwise a server may close the connection. flush sends the frames that framer
// has written.
func readResponse(framer *http2.Framer, flush func() error) (*http2Response, error) {
	a := new(http2Response)
	for n := range maxFrames {
		f, err := framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		if settings, ok := f.(*http2.SettingsFrame); n == 0 && (!ok || settings.IsAck()) {
			return nil, errNoHTTP2 // the first frame must be SETTINGS, RFC 9113, section 3.4
		}
		done := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
				_ = flush() // an error is ignored, because the response may have arrived before the connection was closed
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = framer.WritePing(true, f.Data)
				_ = flush()
			}
		case *http2.GoAwayFrame:
			if f.LastStreamID < streamID {
				return nil, probeError{"the server accepts no requests: " + f.ErrCode.String(), nil}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID != streamID {
				return nil, errNoHTTP2
			}
			return nil, probeError{"the server aborted the response: " + f.ErrCode.String(), nil}
		case *http2.MetaHeadersFrame:
			done, err = f.StreamEnded(), a.addFields(f)
		case *http2.DataFrame:
			done, err = f.StreamEnded(), a.addBody(f)
		case *http2.PushPromiseFrame: // the settings that postHTTP2 has sent forbid pushes
			return nil, errNoHTTP2
		}
		if done || err != nil {
			return a, err
		}
	}
	return nil, probeError{fmt.Sprintf("more than %d frames", maxFrames), nil}
}

// hasHeaders reports whether the final headers have been read. Interim responses (1xx) may
// come before them.
func (a *http2Response) hasHeaders() bool { return a.status != "" && a.status[0] != '1' }

// addFields adds headers or trailers. Trailers must end the response (RFC 9113, section
// 8.1).
func (a *http2Response) addFields(f *http2.MetaHeadersFrame) error {
	status := f.PseudoValue("status")
	switch {
	case f.Truncated:
		return probeError{fmt.Sprintf("more than %d KiB of headers", maxHeaderBytes>>10), nil}
	case f.StreamID != streamID, a.hasHeaders() && !f.StreamEnded(), !a.hasHeaders() && status == "":
		return errNoHTTP2
	case !a.hasHeaders():
		a.status, a.fields = status, f.RegularFields()
		a.contentType = a.header("Content-Type")
	}
	if f.StreamEnded() {
		a.grpcStatus = fieldValue(f.RegularFields(), "Grpc-Status")
	}
	return nil
}

func (a *http2Response) addBody(f *http2.DataFrame) error {
	if f.StreamID != streamID || !a.hasHeaders() {
		return errNoHTTP2
	}
	a.body = append(a.body, f.Data()[:min(len(f.Data()), maxBodyBytes-len(a.body))]...)
	return nil
}

// header returns the value of a header, or "" if the response does not have it.
func (a *http2Response) header(name string) string { return fieldValue(a.fields, name) }

func fieldValue(fields []hpack.HeaderField, name string) string {
	for _, field := range fields {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}
