package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// grpcServer is net/http's server with HTTP/2 and without TLS. It compresses header fields
// and sends trailers.
func grpcServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return "grpc://" + server.Listener.Addr().String()
}

// health responds as grpc-go does: with a message, and a status in trailers; or with a
// status in the headers only.
func health(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	service := ""
	if len(body) > 7 {
		service = string(body[7:])
	}
	w.Header().Set("Content-Type", "application/grpc")
	message, status := "", "0"
	switch service {
	case "", "up":
		message = "\x00\x00\x00\x00\x02\x08\x01"
	case "down":
		message = "\x00\x00\x00\x00\x02\x08\x02"
	case "unclear":
		message = "\x00\x00\x00\x00\x00"
	case "lost":
		message = "\x00\x00\x00\x00\x02\x08\x03"
	case "odd":
		message = "\x00\x00\x00\x00\x03\x08\xac\x02"
	case "more": // unknown fields of every wire type around the status
		message = "\x00\x00\x00\x00\x14\x12\x02hi\x08\x01\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04"
	case "compressed":
		message = "\x01\x00\x00\x00\x02\x08\x01"
	case "two":
		message = "\x00\x00\x00\x00\x02\x08\x01\x00\x00\x00\x00\x02\x08\x01"
	case "short":
		message = "\x00\x00\x00\x00\x03\x08\x01"
	case "silent":
	case "unknown":
		status = "5"
	case "unimplemented":
		status = "12"
	case "later":
		status = "4242"
	case "words":
		status = "CANARY"
	case "503":
		w.WriteHeader(503)
		return
	case "299":
		w.WriteHeader(299)
		return
	case "no status":
		io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
		return
	default:
		status = strings.TrimPrefix(service, "status ")
	}
	w.Header().Set("Grpc-Message", "CANARY")
	if message == "" {
		w.Header().Set("Grpc-Status", status)
		return
	}
	io.WriteString(w, message)
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
}

func TestGRPCResponses(t *testing.T) {
	url := grpcServer(t, health)
	for service, want := range map[string]string{
		"":              "",
		"up":            "",
		"more":          "",
		"down":          "health status NOT_SERVING",
		"unclear":       "health status UNKNOWN",
		"odd":           "unknown health status 300",
		"lost":          `the server does not know the service "lost"`,
		"unknown":       `the server does not know the service "unknown"`,
		"unimplemented": "the server has no grpc.health.v1",
		"compressed":    "not a valid gRPC response",
		"two":           "not a valid gRPC response",
		"short":         "not a valid gRPC response",
		"silent":        "not a valid gRPC response",
		"words":         "not a valid gRPC response",
		"no%20status":   "not a valid gRPC response",
		"later":         "gRPC status 4242",
		"status%2016":   "gRPC status UNAUTHENTICATED",
		"status%201":    "gRPC status CANCELLED",
		"503":           "HTTP status 503 instead of a gRPC response",
		"299":           "HTTP status 299 instead of a gRPC response",
	} {
		err := ask(t, url+"/"+service, ForWait)
		if want == "" {
			assert.NoError(t, err, service)
		} else {
			assert.EqualError(t, err, want, service)
			assert.Equal(t, wrongAnswer, classify(err), service)
		}
	}
	url = grpcServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto") // compressed by HPACK
		w.Header().Set("Grpc-Status", "5")
	})
	assert.ErrorContains(t, ask(t, url, ForWait), "no health status for itself as a whole")
}

func TestGRPCRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	url := grpcServer(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(nil))
		health(w, r)
	})
	require.NoError(t, ask(t, url, ForWait))
	assert.Equal(t, "POST /grpc.health.v1.Health/Check HTTP/2.0", got.Method+" "+got.RequestURI+" "+got.Proto)
	assert.Equal(t, strings.TrimPrefix(url, "grpc://"), got.Host)
	assert.Equal(t, []string{"application/grpc", "trailers", "usher"},
		[]string{got.Header.Get("Content-Type"), got.Header.Get("Te"), got.UserAgent()})
	assert.Equal(t, []byte{0, 0, 0, 0, 0}, body)

	require.NoError(t, ask(t, url+"/a.b.C%20%40", ForWait))
	assert.Equal(t, "\x00\x00\x00\x00\x09\x0a\x07a.b.C @", string(body))
	require.NoError(t, ask(t, url+"/"+strings.Repeat("x", 1024), ForWait))
	assert.Equal(t, "\x00\x00\x00\x04\x03\x0a\x80\x08"+strings.Repeat("x", 1024), string(body))
}

// A zone is valid on this machine only.
func TestGRPCAuthorityHasNoZone(t *testing.T) {
	for url, want := range map[string]string{
		"grpc://[fe80::1%25eth0]:50051/x": "[fe80::1]:50051",
		"grpc://[::1]:1":                  "[::1]:1",
		"grpcs://auth:443":                "auth:443",
	} {
		assert.Equal(t, want, parse(t, url, ForWait).Probe.(*grpcProbe).authority)
	}
}

// A hook's errors are the same, but do not show the path.
func TestGRPCHook(t *testing.T) {
	url := grpcServer(t, health)
	require.NoError(t, RunHook(t.Context(), parse(t, url, ForEnd), Attempt{}))
	hook := parse(t, url+"/unknown", ForStart)
	assert.Equal(t, url, hook.Name)
	assert.EqualError(t, RunHook(t.Context(), hook, Attempt{}), "the server does not know that service")
}

func TestGRPCWithTLS(t *testing.T) {
	url := serveTLS(t, http.HandlerFunc(health), nil)
	url = strings.Replace(url, "https", "grpcs", 1)
	assert.NoError(t, ask(t, url, ForWait))
	assert.EqualError(t, ask(t, url+"/down", ForWait), "health status NOT_SERVING")
	assert.EqualError(t, ask(t, strings.Replace(url, "127.0.0.1", "localhost", 1), ForWait), "the certificate is not for the name localhost")
}

// A server that speaks another protocol is the most common mistake. The error names it.
func TestGRPCToAnotherProtocol(t *testing.T) {
	http1 := serve(t, http.NotFound)
	assert.EqualError(t, ask(t, strings.Replace(http1, "http", "grpc", 1), ForWait), "the server speaks HTTP/1, not HTTP/2")
	assert.EqualError(t, ask(t, strings.Replace(http1, "http", "grpcs", 1), ForWait), "the server does not speak TLS")

	secure := httptest.NewUnstartedServer(http.NotFoundHandler()) // without HTTP/2
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	assert.EqualError(t, ask(t, strings.Replace(secure.URL, "https", "grpcs", 1), ForWait), "the server speaks another protocol over TLS")

	alert := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { // as OpenSSL's servers do
		conn.Read(make([]byte, 1024))
		conn.Write([]byte{0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46})
		conn.Close()
	})
	assert.EqualError(t, ask(t, "grpc://"+alert.Addr().String(), ForWait), "the server wants TLS: write grpcs://")
	assert.Error(t, ask(t, strings.Replace(grpcServer(t, health), "grpc", "http", 1), ForWait))
}

// frame encodes any frame, because x/net's framer does not write invalid ones.
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
	okFields      = "\x88\x0f\x10\x10application/grpc" // :status 200, and a content-type
	okHeaders     = frame{http2.FrameHeaders, endHeaders, 1, []byte(okFields)}
	okData        = frame{http2.FrameData, 0, 1, []byte("\x00\x00\x00\x00\x02\x08\x01")}
	okTrailers    = frame{http2.FrameHeaders, endHeaders | endStream, 1, []byte("\x00\x0bgrpc-status\x010")}
)

// readCanned returns the response of a server that sends these bytes and ignores the
// request.
func readCanned(server string) (*http2Response, error) {
	return postHTTP2(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(server), io.Discard}, "http", "auth:50051", healthCheck, healthRequest(""))
}

// Valid but unusual frames of servers. None of them is printed through package log.
func TestHTTP2UnusualServers(t *testing.T) {
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
		"usual":                  {emptySettings, okHeaders, okData, okTrailers},
		"padding, priority":      {emptySettings, prior, padded, okTrailers},
		"continuation":           {emptySettings, okHeaders, okData, start, middle, end},
		"interim answer":         {emptySettings, {http2.FrameHeaders, endHeaders, 1, []byte("\x08\x03103")}, okHeaders, okData, okTrailers},
		"going, but not yet":     {emptySettings, okHeaders, goes, okData, okTrailers},
		"unknown frames":         {emptySettings, {kind: 0x2a, payload: []byte("x")}, okHeaders, {kind: http2.FrameWindowUpdate, payload: []byte{0, 0, 0, 1}}, okData, okTrailers},
		"acks, pings, more acks": {emptySettings, {http2.FrameSettings, http2.FlagSettingsAck, 0, nil}, {http2.FramePing, 0, 0, make([]byte, 8)}, {http2.FramePing, http2.FlagSettingsAck, 0, make([]byte, 8)}, okHeaders, okData, okTrailers},
	} {
		a, err := readCanned(frames(list...))
		if assert.NoError(t, err, name) {
			assert.NoError(t, new(grpcProbe).checkResponse(a), name)
		}
	}
	assert.Empty(t, printed.String())
}

// HTTP/2 responses that are not gRPC responses.
func TestGRPCInvalidResponses(t *testing.T) {
	const invalid, kind, zero = "not a valid gRPC response", "\x0f\x10\x10application/grpc", "\x00\x0bgrpc-status\x010"
	headers := func(flags http2.Flags, fields string) frame {
		return frame{http2.FrameHeaders, flags | endHeaders, 1, []byte(fields)}
	}
	lastData := frame{http2.FrameData, endStream, 1, okData.payload}
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"another status":             {[]frame{headers(0, "\x08\x03503"+kind), okData, okTrailers}, "HTTP status 503 instead of a gRPC response"},
		"only an interim answer":     {[]frame{headers(endStream, "\x08\x03103"+kind+zero)}, "HTTP status 103 instead of a gRPC response"},
		"body after an interim":      {[]frame{headers(0, "\x08\x03103"+kind), okData, okTrailers}, "not a valid HTTP/2 response"},
		"no status":                  {[]frame{headers(0, kind), okData, okTrailers}, "not a valid HTTP/2 response"},
		"another content":            {[]frame{headers(0, "\x88\x0f\x10\x09text/html"), okData, okTrailers}, invalid},
		"no content type":            {[]frame{headers(0, "\x88"), okData, okTrailers}, invalid},
		"its status in front":        {[]frame{headers(0, okFields+zero), lastData}, invalid},
		"trailers without it":        {[]frame{headers(0, okFields+zero), okData, headers(endStream, "\x00\x01x\x010")}, invalid},
		"trailers that end nothing":  {[]frame{okHeaders, okData, headers(0, zero), lastData}, "not a valid HTTP/2 response"},
		"a yes that was taken back":  {[]frame{headers(0, okFields+zero), okData, headers(endStream, "\x00\x0bgrpc-status\x0214")}, "gRPC status UNAVAILABLE"},
		"a content type in trailers": {[]frame{headers(0, "\x88"), okData, headers(endStream, kind+zero)}, invalid},
	} {
		a, err := readCanned(frames(append([]frame{emptySettings}, test.list...)...))
		if err == nil {
			err = new(grpcProbe).checkResponse(a)
		}
		assert.EqualError(t, err, test.want, name)
	}
}

// Settings and pings are acknowledged, a ping with its data. Acknowledgements are not.
func TestHTTP2Replies(t *testing.T) {
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

// Invalid frames, and the errors for them.
func TestHTTP2BrokenServers(t *testing.T) {
	const invalid = "not a valid HTTP/2 response"
	const closed = "the connection was closed before the response was complete"
	huge := make([]byte, maxFrameSize)
	field := "\x01a\x7f\xa1\x1e" + strings.Repeat("x", 4000) // the name a, and a value of 127+0x21+0x1e<<7 bytes
	fields := []byte(strings.Repeat("\x00"+field, 4))        // which are not to be indexed
	okStart := frame{http2.FrameHeaders, 0, 1, []byte(okFields)}
	more := frame{http2.FrameContinuation, 0, 1, fields}
	many := func(f frame, n int) []frame { return append([]frame{emptySettings}, bytesOf(f, n)...) }
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"no settings":          {[]frame{okHeaders, okData, okTrailers}, invalid},
		"settings of a stream": {[]frame{{http2.FrameSettings, 0, 1, nil}}, invalid},
		"ack first":            {[]frame{{http2.FrameSettings, http2.FlagSettingsAck, 0, nil}}, invalid},
		"too large":            {[]frame{emptySettings, okHeaders, {http2.FrameData, 0, 1, make([]byte, maxFrameSize+1)}, okTrailers}, invalid},
		"another stream":       {[]frame{emptySettings, {http2.FrameHeaders, endHeaders, 3, []byte{0x88}}}, invalid},
		"body first":           {[]frame{emptySettings, okData}, invalid},
		"push":                 {[]frame{emptySettings, {http2.FramePushPromise, endHeaders, 1, make([]byte, 4)}}, invalid},
		"bare continuation":    {[]frame{emptySettings, {http2.FrameContinuation, endHeaders, 1, nil}}, invalid},
		"torn headers":         {[]frame{emptySettings, {http2.FrameHeaders, 0, 1, nil}, okData}, invalid},
		"all padding":          {[]frame{emptySettings, okHeaders, {http2.FrameData, http2.FlagDataPadded, 1, []byte{2, 0}}}, invalid},
		"no padding":           {[]frame{emptySettings, okHeaders, {http2.FrameData, http2.FlagDataPadded, 1, nil}}, closed},
		"no priority":          {[]frame{emptySettings, {http2.FrameHeaders, endHeaders | http2.FlagHeadersPriority, 1, []byte{0x88}}}, closed},
		"short goaway":         {[]frame{emptySettings, {kind: http2.FrameGoAway}}, invalid},
		"short reset":          {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, nil}}, invalid},
		"reset":                {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, []byte{0, 0, 0, 7}}}, "the server aborted the response: REFUSED_STREAM"},
		"odd reset":            {[]frame{emptySettings, {http2.FrameRSTStream, 0, 1, []byte{1, 0, 0, 7}}}, "the server aborted the response: unknown error code 0x1000007"},
		"goaway":               {[]frame{emptySettings, {http2.FrameGoAway, 0, 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x0bCANARY")}}, "the server accepts no requests: ENHANCE_YOUR_CALM"},
		"endless settings":     {many(emptySettings, 20000), "more than 1000 frames"},
		"endless pings":        {many(frame{http2.FramePing, 0, 0, make([]byte, 8)}, 20000), "more than 1000 frames"},
		"endless continuation": {append([]frame{emptySettings, {http2.FrameHeaders, 0, 1, huge}}, bytesOf(frame{http2.FrameContinuation, 0, 1, huge}, 9)...), invalid},
		"endless fields":       {append([]frame{emptySettings, okStart}, bytesOf(more, 9)...), "more than 74 KiB of response"},
		"64 KiB of fields":     {[]frame{emptySettings, okStart, more, more, more, more, {http2.FrameContinuation, endHeaders, 1, fields[:4006]}}, "more than 64 KiB of headers"},
		"a bomb of fields":     {[]frame{emptySettings, {http2.FrameHeaders, endHeaders, 1, []byte("\x88\x40" + field + strings.Repeat("\xbe", 10000))}}, "more than 64 KiB of headers"},
		"endless body":         {append([]frame{emptySettings, okHeaders}, bytesOf(frame{http2.FrameData, 0, 1, huge}, 9)...), "more than 74 KiB of response"},
	} {
		_, err := readCanned(frames(test.list...))
		assert.EqualError(t, err, test.want, name)
	}
}

// Of a long body only the beginning is kept.
func TestHTTP2LongBody(t *testing.T) {
	data := frame{http2.FrameData, 0, 1, make([]byte, maxBodyBytes-1)}
	response, err := readCanned(frames(emptySettings, okHeaders, data, data, okTrailers))
	require.NoError(t, err)
	assert.Len(t, response.body, maxBodyBytes)
}

func bytesOf(f frame, n int) (list []frame) {
	for range n {
		list = append(list, f)
	}
	return list
}

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
			require.Contains(t, string(server), "\x08\x01", "a yes without a 1")
		}
	})
}

// The next address is tried when the first one refuses.
func TestGRPCTriesEveryAddress(t *testing.T) {
	url := grpcServer(t, health)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "grpc://"))
	require.NoError(t, err)
	target := parse(t, fmt.Sprintf("grpc://auth:%s", port), ForWait)
	names := names("::1", "127.0.0.1") // nobody listens on the first
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second, Resolver: names}))
}
