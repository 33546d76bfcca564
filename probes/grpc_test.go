package probes

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

func TestGRPCIsReadyIfTheServerReportsServing(t *testing.T) {
	url := serveGRPC(t, respondHealth)
	for service, want := range map[string]string{
		"":                "",
		"serving":         "",
		"unknown-fields":  "",
		"not-serving":     "health status NOT_SERVING",
		"health-unknown":  "health status UNKNOWN",
		"health-300":      "unknown health status 300",
		"service-unknown": `the server does not know the service "service-unknown"`,
		"unknown":         `the server does not know the service "unknown"`,
		"unimplemented":   "the server has no grpc.health.v1",
		"compressed":      "not a valid gRPC response",
		"two-messages":    "not a valid gRPC response",
		"truncated":       "not a valid gRPC response",
		"no-message":      "not a valid gRPC response",
		"code-text":       "not a valid gRPC response",
		"no%20status":     "not a valid gRPC response",
		"code-4242":       "gRPC status 4242",
		"status%2016":     "gRPC status UNAUTHENTICATED",
		"status%201":      "gRPC status CANCELLED",
		"http-503":        "HTTP status 503 instead of a gRPC response",
		"http-299":        "HTTP status 299 instead of a gRPC response",
	} {
		err := ask(t, url+"/"+service, ForWait)
		if want == "" {
			assert.NoError(t, err, service)
		} else {
			assert.EqualError(t, err, want, service)
			assert.Equal(t, wrongAnswer, classify(err), service)
		}
	}
	url = serveGRPC(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto") // a suffix such as +proto is allowed
		w.Header().Set("Grpc-Status", "5")
	})
	assert.ErrorContains(t, ask(t, url, ForWait), "no health status for itself as a whole")
}

func TestGRPCRequestIsAHealthCheck(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serveGRPC(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(nil))
		respondHealth(w, r)
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

// The zone of an IPv6 address is valid on this machine only, so it is not sent to the server.
func TestGRPCAuthorityHasNoZone(t *testing.T) {
	for url, want := range map[string]string{
		"grpc://[fe80::1%25eth0]:50051/x": "[fe80::1]:50051",
		"grpc://[::1]:1":                  "[::1]:1",
		"grpcs://auth:443":                "auth:443",
	} {
		assert.Equal(t, want, parse(t, url, ForWait).Probe.(*grpcProbe).authority)
	}
}

func TestGRPCHookDoesNotShowTheService(t *testing.T) {
	url := serveGRPC(t, respondHealth)
	require.NoError(t, RunHook(t.Context(), parse(t, url, ForEnd), Attempt{}))
	hook := parse(t, url+"/unknown", ForStart)
	assert.Equal(t, url, hook.Name)
	assert.EqualError(t, RunHook(t.Context(), hook, Attempt{}), "the server does not know that service")
}

func TestGRPCWithTLSVerifiesTheCertificate(t *testing.T) {
	url := serveTLS(t, http.HandlerFunc(respondHealth), nil)
	url = strings.Replace(url, "https", "grpcs", 1)
	assert.NoError(t, ask(t, url, ForWait))
	assert.EqualError(t, ask(t, url+"/not-serving", ForWait), "health status NOT_SERVING")
	assert.EqualError(t, ask(t, strings.Replace(url, "127.0.0.1", "localhost", 1), ForWait), "the certificate is not for the name localhost")
}

func TestGRPCErrorNamesTheProtocolOfAnotherServer(t *testing.T) {
	http1 := serveHTTP(t, http.NotFound)
	assert.EqualError(t, ask(t, strings.Replace(http1, "http", "grpc", 1), ForWait), "the server speaks HTTP/1, not HTTP/2")
	assert.EqualError(t, ask(t, strings.Replace(http1, "http", "grpcs", 1), ForWait), "the server does not speak TLS")

	secure := startHTTP(t, http.NotFoundHandler(), func(s *httptest.Server) { s.TLS = new(tls.Config) }) // this server offers no HTTP/2
	assert.EqualError(t, ask(t, strings.Replace(secure.URL, "https", "grpcs", 1), ForWait), "the server speaks another protocol over TLS")

	alert := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { // the alert of an OpenSSL server to a client that does not speak TLS
		conn.Read(make([]byte, 1024))
		conn.Write([]byte{0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46})
		conn.Close()
	})
	assert.EqualError(t, ask(t, "grpc://"+alert.Addr().String(), ForWait), "the server wants TLS: write grpcs://")
	assert.Error(t, ask(t, strings.Replace(serveGRPC(t, respondHealth), "grpc", "http", 1), ForWait))
}

func TestGRPCRejectsInvalidResponses(t *testing.T) {
	const invalid, kind, zero = "not a valid gRPC response", "\x0f\x10\x10application/grpc", "\x00\x0bgrpc-status\x010"
	headers := func(flags http2.Flags, fields string) frame {
		return frame{http2.FrameHeaders, flags | endHeaders, 1, []byte(fields)}
	}
	lastData := frame{http2.FrameData, endStream, 1, okData.payload}
	for name, test := range map[string]struct {
		list []frame
		want string
	}{
		"another status":              {[]frame{headers(0, "\x08\x03503"+kind), okData, okTrailers}, "HTTP status 503 instead of a gRPC response"},
		"only an interim response":    {[]frame{headers(endStream, "\x08\x03103"+kind+zero)}, "HTTP status 103 instead of a gRPC response"},
		"body after an interim one":   {[]frame{headers(0, "\x08\x03103"+kind), okData, okTrailers}, "not a valid HTTP/2 response"},
		"no status":                   {[]frame{headers(0, kind), okData, okTrailers}, "not a valid HTTP/2 response"},
		"another content type":        {[]frame{headers(0, "\x88\x0f\x10\x09text/html"), okData, okTrailers}, invalid},
		"no content type":             {[]frame{headers(0, "\x88"), okData, okTrailers}, invalid},
		"gRPC status before the body": {[]frame{headers(0, okFields+zero), lastData}, invalid},
		"trailers without a status":   {[]frame{headers(0, okFields+zero), okData, headers(endStream, "\x00\x01x\x010")}, invalid},
		"body after the trailers":     {[]frame{okHeaders, okData, headers(0, zero), lastData}, "not a valid HTTP/2 response"},
		"an error after SERVING":      {[]frame{headers(0, okFields+zero), okData, headers(endStream, "\x00\x0bgrpc-status\x0214")}, "gRPC status UNAVAILABLE"},
		"a content type in trailers":  {[]frame{headers(0, "\x88"), okData, headers(endStream, kind+zero)}, invalid},
	} {
		a, err := readCanned(frames(append([]frame{emptySettings}, test.list...)...))
		if err == nil {
			err = new(grpcProbe).checkResponse(a)
		}
		assert.EqualError(t, err, test.want, name)
	}
}

func TestGRPCTriesTheNextAddressIfOneRefuses(t *testing.T) {
	url := serveGRPC(t, respondHealth)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "grpc://"))
	require.NoError(t, err)
	target := parse(t, fmt.Sprintf("grpc://auth:%s", port), ForWait)
	// The server listens on the second address only.
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: resolverOf("::1", "127.0.0.1")}))
}
