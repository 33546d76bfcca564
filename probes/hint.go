package probes

import (
	"errors"
	"syscall"
)

// A hinted error is one whose usual cause is known to who reports it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// What to look at first. Each is for a person who sees nothing but one line of a
// log, and holds nothing of the target.
const (
	hintName      = "is the name right, as seen from this network and namespace?"
	hintResolver  = "is the name server in /etc/resolv.conf reachable from here?"
	hintRefused   = "is it listening on that port, on an address that others reach?"
	hintSilence   = "does a firewall or network policy drop it, or is it too busy? timeout= gives it longer"
	hintRoute     = "is there a network between here and there, and is the address right?"
	hintAbsent    = "is the path right, and its volume mounted here?"
	hintMount     = "is the server behind that mount (NFS, FUSE) up, and reachable from here?"
	hintDenied    = "may this user go there?"
	hintHungUp    = "are port and scheme right, and is the server behind a proxy up?"
	hintStranger  = "are port and scheme right?"
	hintUp        = "it is coming up: give it more time, or look into its own log"
	hintOwnLog    = "its own log says why"
	hintElsewhere = "it redirects to another scheme or port, where header=, body=, cert= and user are not sent: write that URL"
	hintService   = "is the name spelled as the server registers it?"

	hintAuthority  = "ca= names the authority to trust, as a PEM file"
	hintNoCA       = "bring them into the image, or name an authority with ca="
	hintOtherCA    = "is it the file of the authority that signs this server's certificates?"
	hintServerName = "server-name= says for which name it should be"
	hintTime       = "it must be renewed, or a clock is wrong"
	hintClientCert = "cert= and key= name the client's"
	hintInvalid    = "openssl s_client -connect shows it"
)

// hintOfStatus is for those statuses of HTTP that have a usual cause.
func hintOfStatus(status int) string {
	switch status {
	case 400:
		return "does it want https://, or another header='Host: NAME'?"
	case 401:
		return "does it want credentials (header='Authorization: @/path'), or has it a path that needs none?"
	case 403:
		return "may this client ask, and is there a path that anybody may ask?"
	case 404:
		return "is the path right, and the name in header='Host: NAME'?"
	case 405:
		return "method= names the one that it takes"
	case 429:
		return "interval= leaves it in peace for longer"
	case 500:
		return hintOwnLog
	case 502, 504:
		return "a proxy answers: is the server behind it up?"
	case 503:
		return "it is not ready, or a proxy has no server behind it: " + hintOwnLog
	}
	return ""
}

// hintOfGRPC is the same for gRPC (google.golang.org/grpc/codes).
func hintOfGRPC(code uint64) string {
	switch code {
	case 7: // PERMISSION_DENIED
		return "may this client ask?"
	case 14: // UNAVAILABLE
		return hintOfStatus(503)
	case 16: // UNAUTHENTICATED
		return "it wants credentials, which grpc:// does not send: may its health be asked without?"
	}
	return ""
}

// Hint says what to look at first about an error of this package, where its
// usual cause is known, and else "". It holds nothing secret, and nothing of the
// target.
func Hint(err error) string {
	var known hinted
	var lookup lookupError
	switch {
	case errors.As(err, &known):
		return known.hint
	case errors.As(err, &lookup) && lookup == errNoName:
		return hintName
	case errors.As(err, &lookup):
		return hintResolver
	case errors.Is(err, errNoAnswer), kindOf(err) == unanswered:
		return hintSilence
	case errors.Is(err, syscall.ECONNREFUSED):
		return hintRefused
	case errors.Is(err, syscall.ENOENT):
		return hintAbsent
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return hintDenied
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return hintHungUp
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return hintRoute
	}
	return ""
}
