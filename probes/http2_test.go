package probes

import (
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// A frame is an HTTP/2 frame, valid or invalid. The tests do not use http2.Framer, because by
// default http2.Framer writes only valid frames.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	stream  uint32
	payload []byte
}

func (f frame) append(b []byte) []byte {
	n := len(f.payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(f.kind), byte(f.flags))
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

func frames(list ...frame) string {
	var b []byte
	for _, f := range list {
		b = f.append(b)
	}
	return string(b)
}

const (
	endHeaders = http2.FlagHeadersEndHeaders
	endStream  = http2.FlagHeadersEndStream
)

var (
	emptySettings = frame{kind: http2.FrameSettings}
	okFields      = "\x88\x0f\x10\x10application/grpc" // :status 200 and content-type
	okHeaders     = frame{http2.FrameHeaders, endHeaders, 1, []byte(okFields)}
	okData        = frame{http2.FrameData, 0, 1, []byte("\x00\x00\x00\x00\x02\x08\x01")}
	okTrailers    = frame{http2.FrameHeaders, endHeaders | endStream, 1, []byte("\x00\x0bgrpc-status\x010")}
)

// readCanned calls postHTTP2 on a connection that discards the request. The bytes in server
// are the response.
func readCanned(server string) (*http2Response, error) {
	return postHTTP2(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(server), io.Discard}, "http", "auth:50051", healthCheck, healthRequest(""))
}

// On some of these frames the Transport of net/http prints a message through package log.
// postHTTP2 must print nothing.
func TestHTTP2AcceptsUnusualFramesAndPrintsNothing(t *testing.T) {
	printed := new(bytes.Buffer)
	defer log.SetOutput(log.Writer())
	log.SetOutput(printed)

	padded := frame{http2.FrameData, http2.FlagDataPadded, 1, append([]byte{3}, string(okData.payload)+"\x00\x00\x00"...)}
	prior := frame{http2.FrameHeaders, endHeaders | http2.FlagHeadersPriority | http2.FlagDataPadded, 1, []byte("\x01\x00\x00\x00\x00\x10" + okFields + "\x00")}
	start := frame{http2.FrameHeaders, endStream, 1, okTrailers.payload[:5]}
	middle := frame{http2.FrameContinuation, 0, 1, okTrailers.payload[5:6]}
	end := frame{http2.FrameContinuation, endHeaders, 1, okTrailers.payload[6:]}
	goes := frame{http2.FrameGoAway, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 0}}
	for name, list := range map[string][]frame{
		"the usual frames":           {emptySettings, okHeaders, okData, okTrailers},
		"padding and priority":       {emptySettings, prior, padded, okTrailers},
		"continuation":               {emptySettings, okHeaders, okData, start, middle, end},
		"an interim response":        {emptySettings, {http2.FrameHeaders, endHeaders, 1, []byte("\x08\x03103")}, okHeaders, okData, okTrailers},
		"GOAWAY for later requests":  {emptySettings, okHeaders, goes, okData, okTrailers},
		"unknown frames":             {emptySettings, {kind: 0x2a, payload: []byte("x")}, okHeaders, {kind: http2.FrameWindowUpdate, payload: []byte{0, 0, 0, 1}}, okData, okTrailers},
		"acknowledgements and pings": {emptySettings, {http2.FrameSettings, http2.FlagSettingsAck, 0, nil}, {http2.FramePing, 0, 0, make([]byte, 8)}, {http2.FramePing, http2.FlagSettingsAck, 0, make([]byte, 8)}, okHeaders, okData, okTrailers},
	} {
		a, err := readCanned(frames(list...))
		if assert.NoError(t, err, name) {
			assert.NoError(t, new(grpcProbe).checkResponse(a), name)
		}
	}
	assert.Empty(t, printed.String())
}

func TestHTTP2AcknowledgesSettingsAndPings(t *testing.T) {
	ping := frame{http2.FramePing, 0, 0, []byte("12345678")}
	var sent bytes.Buffer
	_, err := postHTTP2(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(frames(emptySettings, ping, frame{http2.FramePing, http2.FlagPingAck, 0, make([]byte, 8)}, frame{http2.FrameSettings, http2.FlagSettingsAck, 0, nil}, okHeaders, okData, okTrailers)), &sent}, "http", "auth:50051", healthCheck, nil)
	require.NoError(t, err)
	replies := frames(frame{http2.FrameData, endStream, 1, nil}, frame{http2.FrameSettings, http2.FlagSettingsAck, 0, nil}, frame{http2.FramePing, http2.FlagPingAck, 0, ping.payload})
	assert.True(t, strings.HasSuffix(sent.String(), replies), "%q", sent.String())
}

func TestHTTP2RejectsInvalidAndEndlessFrames(t *testing.T) {
	const invalid = "not a valid HTTP/2 response"
	const closed = "the connection was closed before the response was complete"
	huge := make([]byte, maxFrameSize)
	field := "\x01a\x7f\xa1\x1e" + strings.Repeat("x", 4000) // the name a, and a value whose length is 127 + 0x21 + 0x1e<<7 = 4000 (RFC 7541, section 5.1)
	fields := []byte(strings.Repeat("\x00"+field, 4))        // \x00: the decoder does not add the field to its table (RFC 7541, section 6.2.2)
	okStart := frame{http2.FrameHeaders, 0, 1, []byte(okFields)}
	more := frame{http2.FrameContinuation, 0, 1, fields}
	many := func(f frame, n int) []frame { return append([]frame{emptySettings}, repeatFrame(f, n)...) }
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"no settings":                       {[]frame{okHeaders, okData, okTrailers}, invalid},
		"settings of a stream":              {[]frame{{http2.FrameSettings, 0, 1, nil}}, invalid},
		"acknowledgement first":             {[]frame{{http2.FrameSettings, http2.FlagSettingsAck, 0, nil}}, invalid},
		"a frame that is too large":         {[]frame{emptySettings, okHeaders, {http2.FrameData, 0, 1, make([]byte, maxFrameSize+1)}, okTrailers}, invalid},
		"another stream":                    {[]frame{emptySettings, {http2.FrameHeaders, endHeaders, 3, []byte{0x88}}}, invalid},
		"body before headers":               {[]frame{emptySettings, okData}, invalid},
		"a push promise":                    {[]frame{emptySettings, {http2.FramePushPromise, endHeaders, 1, make([]byte, 4)}}, invalid},
		"continuation without headers":      {[]frame{emptySettings, {http2.FrameContinuation, endHeaders, 1, nil}}, invalid},
		"body inside headers":               {[]frame{emptySettings, {http2.FrameHeaders, 0, 1, nil}, okData}, invalid},
		"more padding than data":            {[]frame{emptySettings, okHeaders, {http2.FrameData, http2.FlagDataPadded, 1, []byte{2, 0}}}, invalid},
		"padding without a length":          {[]frame{emptySettings, okHeaders, {http2.FrameData, http2.FlagDataPadded, 1, nil}}, closed},
		"priority without data":             {[]frame{emptySettings, {http2.FrameHeaders, endHeaders | http2.FlagHeadersPriority, 1, []byte{0x88}}}, closed},
		"a GOAWAY that is too short":        {[]frame{emptySettings, {kind: http2.FrameGoAway}}, invalid},
		"a reset that is too short":         {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, nil}}, invalid},
		"a reset":                           {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, []byte{0, 0, 0, 7}}}, "the server aborted the response: REFUSED_STREAM"},
		"a reset with an unknown code":      {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, []byte{1, 0, 0, 7}}}, "the server aborted the response: unknown error code 0x1000007"},
		"a GOAWAY":                          {[]frame{emptySettings, {http2.FrameGoAway, 0, 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x0bCANARY")}}, "the server accepts no requests: ENHANCE_YOUR_CALM"},
		"endless settings":                  {many(emptySettings, 20000), "more than 1000 frames"},
		"endless pings":                     {many(frame{http2.FramePing, 0, 0, make([]byte, 8)}, 20000), "more than 1000 frames"},
		"endless continuation":              {append([]frame{emptySettings, {http2.FrameHeaders, 0, 1, huge}}, repeatFrame(frame{http2.FrameContinuation, 0, 1, huge}, 9)...), invalid},
		"endless fields":                    {append([]frame{emptySettings, okStart}, repeatFrame(more, 9)...), "more than 74 KiB of response"},
		"64 KiB of fields":                  {[]frame{emptySettings, okStart, more, more, more, more, {http2.FrameContinuation, endHeaders, 1, fields[:4006]}}, "more than 64 KiB of headers"},
		"fields that expand by compression": {[]frame{emptySettings, {http2.FrameHeaders, endHeaders, 1, []byte("\x88\x40" + field + strings.Repeat("\xbe", 10000))}}, "more than 64 KiB of headers"},
		"endless body":                      {append([]frame{emptySettings, okHeaders}, repeatFrame(frame{http2.FrameData, 0, 1, huge}, 9)...), "more than 74 KiB of response"},
	} {
		_, err := readCanned(frames(test.list...))
		assert.EqualError(t, err, test.want, name)
	}
}

func TestHTTP2KeepsTheBeginningOfALongBody(t *testing.T) {
	data := frame{http2.FrameData, 0, 1, make([]byte, maxBodyBytes-1)}
	response, err := readCanned(frames(emptySettings, okHeaders, data, data, okTrailers))
	require.NoError(t, err)
	assert.Len(t, response.body, maxBodyBytes)
}

func repeatFrame(f frame, n int) (list []frame) {
	for range n {
		list = append(list, f)
	}
	return list
}

// readCanned must return for any input. A response may count as ready only if its body contains
// 08, the key of the field status.
func FuzzHTTP2(f *testing.F) {
	f.Add([]byte(frames(emptySettings, okHeaders, okData, okTrailers)))
	f.Add([]byte(frames(emptySettings, frame{http2.FrameHeaders, http2.FlagDataPadded | http2.FlagHeadersPriority, 1, []byte{0, 0, 0, 0, 0, 0}}, frame{http2.FrameContinuation, endHeaders, 1, []byte{0xff, 0xff, 0x7f}})))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, server []byte) {
		a, err := readCanned(string(server))
		if err == nil {
			require.LessOrEqual(t, len(a.body), maxBodyBytes)
			err = new(grpcProbe).checkResponse(a)
		}
		if err == nil {
			require.Contains(t, string(a.body), "\x08", "the target is ready without a status")
		}
	})
}
