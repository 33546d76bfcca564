package probes

import (
	"bytes"
	"encoding/hex"
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
)

// grpcServer speaks HTTP/2 without TLS, by net/http's server: its HPACK
// compresses, and its trailers are real ones.
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

// health answers as grpc-go does: a message and a status in the trailers, or a
// status alone, in the only headers.
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
	case "more": // fields of a later version, of every wire type, around the status
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

func TestGRPCAnswers(t *testing.T) {
	url := grpcServer(t, health)
	for service, want := range map[string]string{
		"":              "",
		"up":            "",
		"more":          "",
		"down":          "its health is NOT_SERVING",
		"unclear":       "its health is UNKNOWN",
		"odd":           "its health is the unknown number 300",
		"lost":          `the server does not know the service "lost"`,
		"unknown":       `the server does not know the service "unknown"`,
		"unimplemented": "the server has no grpc.health.v1",
		"compressed":    "no valid gRPC answer",
		"two":           "no valid gRPC answer",
		"short":         "no valid gRPC answer",
		"silent":        "no valid gRPC answer",
		"words":         "no valid gRPC answer",
		"no%20status":   "no valid gRPC answer",
		"later":         "gRPC status 4242",
		"status%2016":   "gRPC status UNAUTHENTICATED",
		"status%201":    "gRPC status CANCELLED",
		"503":           "HTTP status 503 instead of a gRPC answer",
		"299":           "HTTP status 299 instead of a gRPC answer",
	} {
		err := ask(t, url+"/"+service, ForWait)
		if want == "" {
			assert.NoError(t, err, service)
		} else {
			assert.EqualError(t, err, want, service)
			assert.Equal(t, answered, kindOf(err), service)
		}
	}
	url = grpcServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto") // compressed, with the + that is longer
		w.Header().Set("Grpc-Status", "5")
	})
	assert.ErrorContains(t, ask(t, url, ForWait), "does not tell its health as a whole")
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

// A zone means something on this machine only.
func TestGRPCTellsNoZone(t *testing.T) {
	for url, want := range map[string]string{
		"grpc://[fe80::1%25eth0]:50051/x": "[fe80::1]:50051",
		"grpc://[::1]:1":                  "[::1]:1",
		"grpcs://auth:443":                "auth:443",
	} {
		assert.Equal(t, want, parse(t, url, ForWait).Probe.(*grpcProbe).authority)
	}
}

// A hook is done once, and says the same but for its path.
func TestGRPCHook(t *testing.T) {
	url := grpcServer(t, health)
	require.NoError(t, Do(t.Context(), parse(t, url, ForEnd), Attempt{}))
	hook := parse(t, url+"/unknown", ForStart)
	assert.Equal(t, url, hook.Name)
	assert.EqualError(t, Do(t.Context(), hook, Attempt{}), "the server does not know that service")
}

func TestGRPCWithTLS(t *testing.T) {
	url := serveTLS(t, http.HandlerFunc(health), nil)
	url = strings.Replace(url, "https", "grpcs", 1)
	assert.NoError(t, ask(t, url, ForWait))
	assert.EqualError(t, ask(t, url+"/down", ForWait), "its health is NOT_SERVING")
	assert.EqualError(t, ask(t, strings.Replace(url, "127.0.0.1", "localhost", 1), ForWait), "the certificate is for another name than localhost")
}

// The most common mistake is another protocol, and it is named.
func TestGRPCOfAnotherProtocol(t *testing.T) {
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

// The examples of RFC 7541, appendix C, and one symbol of more than seven bits.
func TestHuffman(t *testing.T) {
	for code, want := range map[string]string{
		"f1e3c2e5f23a6ba0ab90f4ff": "www.example.com",
		"a8eb10649cbf":             "no-cache",
		"25a849e95ba97d7f":         "custom-key",
		"25a849e95bb8e8b4bf":       "custom-value",
		"6402":                     "302",
		"640eff":                   "307",
		"aec3771a4b":               "private",
		"9bd9ab":                   "gzip",
		"d07abe941054d444a8200595040b8166e082a62d1bff": "Mon, 21 Oct 2013 20:13:21 GMT",
		"fffa": "", // "#", which is longer than what is known
		"":     "",
	} {
		b, err := hex.DecodeString(code)
		require.NoError(t, err)
		assert.Equal(t, want, huffman(b))
	}
}

// The headers of RFC 7541, C.2 and C.6, where they need no table; and its
// integers, C.1.
func TestFieldsOfHeaders(t *testing.T) {
	a, err := readFields([]byte("\x40\x0acustom-key\x0dcustom-header\x04\x0c/sample/path\x10\x08password\x06secret\x82\x48\x82\x64\x02"))
	require.NoError(t, err)
	assert.Equal(t, "302", a.status)
	for index, status := range []string{"200", "204", "206", "304", "400", "404", "500"} {
		a, err = readFields([]byte{0x80 | byte(8+index)})
		require.NoError(t, err)
		assert.Equal(t, status, a.status)
	}
	a, err = readFields([]byte("\x20\x3f\xe1\x1f\x00\x0bgrpc-status\x0214\x0f\x10\x02ab"))
	require.NoError(t, err, "sizes of the table in front")
	assert.Equal(t, http2Fields{"", "ab", "14"}, a)
	n, rest, err := readInt([]byte{0x1f, 0x9a, 0x0a, 0xff}, 5)
	require.NoError(t, err)
	assert.Equal(t, 1337, n)
	assert.Equal(t, []byte{0xff}, rest)
	for _, s := range []string{"", "a", strings.Repeat("b", 126), strings.Repeat("c", 127), strings.Repeat("d", 300)} {
		got, rest, err := readText(append(appendText(nil, s), 'x'))
		require.NoError(t, err)
		assert.Equal(t, s, got)
		assert.Equal(t, "x", string(rest))
	}
	for _, block := range []string{
		"\x80", "\xbe", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\xff", "\x00", "\x00\x05abc", "\x00\x01a", "\x00\x01a\x7f\xff\xff\xff\xff\x0f", "\x7f\x00\x00", "\x0f",
	} {
		_, err = readFields([]byte(block))
		assert.Equal(t, errNoHTTP2, err, "%q", block)
	}
}

// canned is a connection that gives an answer and swallows what is written.
type canned struct{ io.Reader }

func (canned) Write(b []byte) (int, error) { return len(b), nil }

func frames(list ...frame) string {
	var b []byte
	for _, f := range list {
		b = f.append(b)
	}
	return string(b)
}

var (
	emptySettings = frame{kind: frameSettings}
	okFields      = "\x88\x0f\x10\x10application/grpc" // :status 200, and a content-type
	okHeaders     = frame{frameHeaders, flagEndHeaders, 1, []byte(okFields)}
	okData        = frame{frameData, 0, 1, []byte("\x00\x00\x00\x00\x02\x08\x01")}
	okTrailers    = frame{frameHeaders, flagEndHeaders | flagEndStream, 1, []byte("\x00\x0bgrpc-status\x010")}
)

// What a server may do, though few do.
func TestHTTP2OfUnusualServers(t *testing.T) {
	padded := frame{frameData, flagPadded, 1, append([]byte{3}, string(okData.payload)+"\x00\x00\x00"...)}
	prior := frame{frameHeaders, flagEndHeaders | flagPriority | flagPadded, 1, []byte("\x01\x00\x00\x00\x00\x10" + okFields + "\x00")}
	start := frame{frameHeaders, flagEndStream, 1, okTrailers.payload[:5]}
	middle := frame{frameContinuation, 0, 1, okTrailers.payload[5:6]}
	end := frame{frameContinuation, flagEndHeaders, 1, okTrailers.payload[6:]}
	goes := frame{frameGoAway, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 0}}
	for name, list := range map[string][]frame{
		"usual":                  {emptySettings, okHeaders, okData, okTrailers},
		"padding, priority":      {emptySettings, prior, padded, okTrailers},
		"continuation":           {emptySettings, okHeaders, okData, start, middle, end},
		"interim answer":         {emptySettings, {frameHeaders, flagEndHeaders, 1, []byte("\x08\x03103")}, okHeaders, okData, okTrailers},
		"going, but not yet":     {emptySettings, okHeaders, goes, okData, okTrailers},
		"unknown frames":         {emptySettings, {kind: 0x2a, payload: []byte("x")}, okHeaders, {kind: 0x8, payload: make([]byte, 4)}, okData, okTrailers},
		"acks, pings, more acks": {emptySettings, {frameSettings, flagAck, 0, nil}, {framePing, 0, 0, make([]byte, 8)}, {framePing, flagAck, 0, make([]byte, 8)}, okHeaders, okData, okTrailers},
	} {
		a, err := readHTTP2(canned{strings.NewReader(frames(list...))})
		if assert.NoError(t, err, name) {
			assert.NoError(t, new(grpcProbe).judge(a), name)
		}
	}
}

// An answer is gRPC's only if all of it says so.
func TestGRPCAnswersThatAreNone(t *testing.T) {
	const invalid, kind, zero = "no valid gRPC answer", "\x0f\x10\x10application/grpc", "\x00\x0bgrpc-status\x010"
	headers := func(flags byte, fields string) frame {
		return frame{frameHeaders, flags | flagEndHeaders, 1, []byte(fields)}
	}
	lastData := frame{frameData, flagEndStream, 1, okData.payload}
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"another status":             {[]frame{headers(0, "\x08\x03503"+kind), okData, okTrailers}, "HTTP status 503 instead of a gRPC answer"},
		"only an interim answer":     {[]frame{headers(flagEndStream, "\x08\x03103"+kind+zero)}, "HTTP status 103 instead of a gRPC answer"},
		"body after an interim":      {[]frame{headers(0, "\x08\x03103"+kind), okData, okTrailers}, "no valid HTTP/2 answer"},
		"no status":                  {[]frame{headers(0, kind), okData, okTrailers}, "no valid HTTP/2 answer"},
		"another content":            {[]frame{headers(0, "\x88\x0f\x10\x09text/html"), okData, okTrailers}, invalid},
		"no content type":            {[]frame{headers(0, "\x88"), okData, okTrailers}, invalid},
		"its status in front":        {[]frame{headers(0, okFields+zero), lastData}, invalid},
		"trailers without it":        {[]frame{headers(0, okFields+zero), okData, headers(flagEndStream, "\x00\x01x\x010")}, invalid},
		"trailers that end nothing":  {[]frame{okHeaders, okData, headers(0, zero), lastData}, "no valid HTTP/2 answer"},
		"a yes that was taken back":  {[]frame{headers(0, okFields+zero), okData, headers(flagEndStream, "\x00\x0bgrpc-status\x0214")}, "gRPC status UNAVAILABLE"},
		"a content type in trailers": {[]frame{headers(0, "\x88"), okData, headers(flagEndStream, kind+zero)}, invalid},
	} {
		a, err := readHTTP2(canned{strings.NewReader(frames(append([]frame{emptySettings}, test.list...)...))})
		if err == nil {
			err = new(grpcProbe).judge(a)
		}
		assert.EqualError(t, plainHTTP(err), test.want, name)
	}
}

// Settings and pings are answered, with what the ping held; answers are not.
func TestHTTP2Replies(t *testing.T) {
	ping := frame{framePing, 0, 0, []byte("12345678")}
	var replies bytes.Buffer
	_, err := readHTTP2(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(frames(emptySettings, ping, frame{framePing, flagAck, 0, make([]byte, 8)}, frame{frameSettings, flagAck, 0, nil}, okHeaders, okData, okTrailers)), &replies})
	require.NoError(t, err)
	assert.Equal(t, frames(frame{frameSettings, flagAck, 0, nil}, frame{framePing, flagAck, 0, ping.payload}), replies.String())
}

// What none may do, and what each is called.
func TestHTTP2OfBrokenServers(t *testing.T) {
	const invalid = "no valid HTTP/2 answer"
	huge := make([]byte, maxFrame)
	many := func(f frame, n int) []frame { return append([]frame{emptySettings}, bytesOf(f, n)...) }
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"no settings":          {[]frame{okHeaders, okData, okTrailers}, invalid},
		"settings of a stream": {[]frame{{frameSettings, 0, 1, nil}}, invalid},
		"ack first":            {[]frame{{frameSettings, flagAck, 0, nil}}, invalid},
		"too large":            {[]frame{emptySettings, {frameData, 0, 1, make([]byte, maxFrame+1)}}, invalid},
		"another stream":       {[]frame{emptySettings, {frameHeaders, flagEndHeaders, 3, []byte{0x88}}}, invalid},
		"body first":           {[]frame{emptySettings, okData}, invalid},
		"push":                 {[]frame{emptySettings, {framePush, flagEndHeaders, 1, make([]byte, 4)}}, invalid},
		"bare continuation":    {[]frame{emptySettings, {frameContinuation, flagEndHeaders, 1, nil}}, invalid},
		"torn headers":         {[]frame{emptySettings, {frameHeaders, 0, 1, nil}, okData}, invalid},
		"all padding":          {[]frame{emptySettings, okHeaders, {frameData, flagPadded, 1, []byte{2, 0}}}, invalid},
		"no padding":           {[]frame{emptySettings, okHeaders, {frameData, flagPadded, 1, nil}}, invalid},
		"no priority":          {[]frame{emptySettings, {frameHeaders, flagEndHeaders | flagPriority, 1, []byte{0x88}}}, invalid},
		"short goaway":         {[]frame{emptySettings, {kind: frameGoAway}}, invalid},
		"short reset":          {[]frame{emptySettings, {frameReset, 0, 1, nil}}, invalid},
		"reset":                {[]frame{emptySettings, {frameReset, 0, 1, []byte{0, 0, 0, 7}}}, "the server broke off the answer: REFUSED_STREAM"},
		"odd reset":            {[]frame{emptySettings, {frameReset, 0, 1, []byte{1, 0, 0, 7}}}, "the server broke off the answer: an unknown error"},
		"goaway":               {[]frame{emptySettings, {frameGoAway, 0, 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x0bCANARY")}}, "the server takes no requests: ENHANCE_YOUR_CALM"},
		"endless settings":     {many(emptySettings, 20000), "more than 1000 frames of answer"},
		"endless pings":        {many(frame{framePing, 0, 0, make([]byte, 8)}, 20000), "more than 1000 frames of answer"},
		"endless continuation": {append([]frame{emptySettings, {frameHeaders, 0, 1, huge}}, bytesOf(frame{frameContinuation, 0, 1, huge}, 9)...), "more than 74 KiB of answer"},
		"endless body":         {append([]frame{emptySettings, okHeaders}, bytesOf(frame{frameData, 0, 1, huge}, 9)...), "more than 74 KiB of answer"},
	} {
		_, err := readHTTP2(canned{strings.NewReader(frames(test.list...))})
		assert.EqualError(t, plainHTTP(err), test.want, name)
	}
}

func bytesOf(f frame, n int) (list []frame) {
	for range n {
		list = append(list, f)
	}
	return list
}

func FuzzHTTP2(f *testing.F) {
	f.Add([]byte(frames(emptySettings, okHeaders, okData, okTrailers)))
	f.Add([]byte(frames(emptySettings, frame{frameHeaders, flagPadded | flagPriority, 1, []byte{0, 0, 0, 0, 0, 0}}, frame{frameContinuation, flagEndHeaders, 1, []byte{0xff, 0xff, 0x7f}})))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, server []byte) {
		a, err := readHTTP2(canned{bytes.NewReader(server)})
		if err == nil {
			require.LessOrEqual(t, len(a.body), maxBodyBytes)
			err = new(grpcProbe).judge(a)
		}
		if err == nil {
			require.Contains(t, string(server), "\x08\x01", "a yes without a 1")
		}
	})
}

// A yes takes a real server no more than its answer.
func TestGRPCIsFoundAmongManyAddresses(t *testing.T) {
	url := grpcServer(t, health)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "grpc://"))
	require.NoError(t, err)
	target := parse(t, fmt.Sprintf("grpc://auth:%s", port), ForWait)
	names := names("::1", "127.0.0.1") // nobody listens on the first
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second, Resolver: names}))
}
