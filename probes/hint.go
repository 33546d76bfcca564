package probes

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
)

// A hintedError is an error with a hint: its usual cause, or a possible fix.
type hintedError struct {
	error
	hint string
}

func (h hintedError) Unwrap() error { return h.error }

// Hints of errors. (Other hints are written where the error is made.) Each hint must be
// understandable in a single log line, without context. No hint contains a part of the target.
const (
	hintName          = "is the name right, as seen from this network and namespace?"
	hintResolver      = "is the name server in /etc/resolv.conf reachable from here?"
	hintRefused       = "is it listening on that port, and not only on its own localhost? a Service without endpoints refuses too"
	hintRefusedIPv6   = "is it listening on that port of an IPv6 address ([::]), and not only on 0.0.0.0?"
	hintLocalhost     = "is it listening on that port? localhost is this container or pod"
	hintLocalhostIPv4 = hintLocalhost + "; if it is on ::1, write localhost"
	hintLocalhostIPv6 = hintLocalhost + "; if it is on 127.0.0.1, write localhost"
	hintOnlyIPv6      = "all its addresses are IPv6, and there is no IPv6 route to them: enable IPv6 here, or give it an A record"
	hintOnlyIPv4      = "all its addresses are IPv4, and there is no IPv4 route to them: is this network up, or is it IPv6 only?"
	hintTimeout       = "does a firewall or network policy drop packets, or is the server too busy? timeout= allows more time"
	hintRoute         = "is the address right, and is there a route to it?"
	hintNotFound      = "is the path right, and its volume mounted here?"
	hintMount         = "is the server of that mount (NFS, FUSE) up and reachable?"
	hintDenied        = "does this user have the permission?"
	hintClosed        = "are port and scheme right, and is the server behind a proxy up?"
	hintWrongProtocol = "are port and scheme right?"
	hintWithoutTLS    = "has that port no TLS? then write the scheme without its last s"
	hintStarting      = "it is starting: allow more time, or see its log"
	hintOwnLog        = "see its log"
	hintRedirected    = "it redirects to another scheme or port, where header=, body=, cert= and user are not sent: write that URL"
	hintLonger        = "ask for a shorter response: match= sees only its beginning"
	hintGone          = "a timeout does not show that it is gone; a refused connection or a missing name does"
	hintPresent       = "it has not been stopped or removed yet"
	hintService       = "is this the name under which the server registers the service?"

	hintAuthority  = "set ca= to the PEM file of the authority to trust"
	hintNoCA       = "install them in the image, or set ca="
	hintOtherCA    = "does ca= name the authority that signs this server's certificates?"
	hintServerName = "set server-name= to a name in the certificate"
	hintTime       = "renew it, or correct the clock"
	hintClock      = "is the clock of this machine right?"
	hintClientCert = "set cert= and key= to the client's"
	hintInvalid    = "openssl s_client -connect shows it"
)

// hintForAddrs returns the hint for a failed connection to addrs, or "" if there is none. The
// hint depends on whether the addresses are IPv4, IPv6 or loopback addresses.
func hintForAddrs(err error, addrs []netip.Addr) string {
	only := func(is func(netip.Addr) bool) bool {
		return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !is(a) })
	}
	is4, is6, loopback := only(netip.Addr.Is4), only(netip.Addr.Is6), only(netip.Addr.IsLoopback)
	// If IPv6 is disabled, connect(2) fails with one of these errors. Which of them depends on
	// the setting that disables IPv6.
	noIPv6 := errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
	noRoute := errors.Is(err, syscall.ENETUNREACH)
	switch refuses := classify(err) == refused; {
	case refuses && loopback && is4:
		return hintLocalhostIPv4
	case refuses && loopback && is6:
		return hintLocalhostIPv6
	case refuses && loopback:
		return hintLocalhost
	case refuses && is6:
		return hintRefusedIPv6
	case is6 && (noRoute || noIPv6):
		return hintOnlyIPv6
	case is4 && noRoute:
		return hintOnlyIPv4
	}
	return ""
}

// hintForStatus returns the hint for an HTTP status, or "" if there is none.
func hintForStatus(status int) string {
	switch status {
	case 400:
		return "does it want https://, or another header='Host: NAME'?"
	case 401:
		return "does it need credentials (header='Authorization: Bearer @/path'), or is there a path that needs none?"
	case 403:
		return "is this client allowed, or is there a path that needs no permission?"
	case 404:
		return "are the path and the name in header='Host: NAME' right?"
	case 405:
		return "set method= to a method that it accepts"
	case 429:
		return "a longer interval= makes fewer attempts"
	case 500:
		return hintOwnLog
	case 502, 504:
		return "this is from a proxy: is the server behind it up?"
	case 503:
		return "it is not ready, or it is a proxy without a server behind it: " + hintOwnLog
	}
	return ""
}

// hintsForKubernetes has hints for responses of the Kubernetes API server, by status.
// httpProbe.check recognizes the API server by the header Audit-Id, which it sends with each
// response.
var hintsForKubernetes = map[int]string{
	401: "the API server does not accept the token: is it that of the pod's service account?",
	403: "RBAC: bind a Role with the verb get (for a list: list) on that resource to the service account",
}

// hintForGRPC returns the hint for a gRPC status (google.golang.org/grpc/codes), or "" if
// there is none.
func hintForGRPC(code uint64) string {
	switch code {
	case 7: // PERMISSION_DENIED
		return "is this client allowed?"
	case 14: // UNAVAILABLE
		return hintForStatus(503)
	case 16: // UNAUTHENTICATED
		return "it needs credentials, which grpc:// does not send: allow health checks without them"
	}
	return ""
}

// Hint returns the usual cause of an error of this package, or a possible fix. It returns
// "" if neither is known. The hint contains no part of the target.
func Hint(err error) string {
	var known hintedError
	var lookup lookupError
	switch {
	case errors.As(err, &known):
		return known.hint
	case errors.As(err, &lookup) && (lookup == errNoName || lookup == errNoSRV):
		return hintName
	case errors.As(err, &lookup):
		return hintResolver
	case errors.Is(err, errNoAnswer), classify(err) == timedOut:
		return hintTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return hintRefused
	case errors.Is(err, syscall.ENOENT):
		return hintNotFound
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return hintDenied
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return hintClosed
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return hintRoute
	}
	return ""
}
