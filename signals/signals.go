package signals

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// The first and the last real-time signal in glibc's numbering. The kernel's first
// real-time signal is 32, but glibc uses 32 and 33 for its threads. So "SIGRTMIN+3" in a
// STOPSIGNAL means 37.
const (
	rtMin = 34
	rtMax = 64
)

// names holds the names of the standard signals by number. 0 is not a signal.
var names = [32]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE",
	9: "KILL", 10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT",
	17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN", 22: "TTOU", 23: "URG", 24: "XCPU",
	25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

// Parse parses a signal's name or number: TERM, SIGTERM, term, 15, RTMIN+3,
// SIGRTMAX-1.
func Parse(s string) (syscall.Signal, error) {
	if isNumber(s) {
		n, err := strconv.Atoi(s)
		if err != nil || !known(syscall.Signal(n)) {
			return 0, fmt.Errorf("signal %s does not exist: the numbers are 1 to %d", s, rtMax)
		}
		return syscall.Signal(n), nil
	}
	word := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	switch word {
	case "": // "" and "SIG" are no signals; the search in names would find names[0], which is empty
	case "IOT":
		return syscall.SIGABRT, nil
	case "CLD":
		return syscall.SIGCHLD, nil
	case "POLL":
		return syscall.SIGIO, nil
	default:
		for n, name := range names {
			if name == word {
				return syscall.Signal(n), nil
			}
		}
	}
	if rest, ok := strings.CutPrefix(word, "RTMIN"); ok {
		return parseRealTime(s, rest, '+', rtMin, +1)
	}
	if rest, ok := strings.CutPrefix(word, "RTMAX"); ok {
		return parseRealTime(s, rest, '-', rtMax, -1)
	}
	return 0, fmt.Errorf("unknown signal %q: write a name (TERM, SIGTERM, RTMIN+3) or a number from 1 to %d", s, rtMax)
}

// parseRealTime parses the name of a real-time signal. rest is the part of the name after
// RTMIN or RTMAX: it may be empty, or be the sign followed by a number.
func parseRealTime(name, rest string, sign byte, base, step int) (syscall.Signal, error) {
	if rest == "" {
		return syscall.Signal(base), nil
	}
	if rest[0] == sign && isNumber(rest[1:]) {
		if n, err := strconv.Atoi(rest[1:]); err == nil && n <= rtMax-rtMin {
			return syscall.Signal(base + step*n), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q: real-time signals are RTMIN to RTMIN+%[2]d and RTMAX-%[2]d to RTMAX", name, rtMax-rtMin)
}

// isNumber reports whether s consists of digits only. strconv.Atoi would accept "+15" too.
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func known(sig syscall.Signal) bool { return sig >= 1 && sig <= rtMax }

// Name returns a name of sig that [Parse] accepts: SIGTERM, SIGRTMIN+3, SIGRTMAX-1.
// Real-time signals are counted from SIGRTMIN or SIGRTMAX, whichever is nearer, as in
// bash's "kill -l". 32 and 33 have no name, because glibc reserves them for its threads. For
// these two, and for a number that is not a signal, Name returns "signal 32", which Parse
// does not accept.
func Name(sig syscall.Signal) string {
	switch n := int(sig); {
	case n >= 1 && n < len(names):
		return "SIG" + names[n]
	case n == rtMin:
		return "SIGRTMIN"
	case n > rtMin && n < 50:
		return "SIGRTMIN+" + strconv.Itoa(n-rtMin)
	case n >= 50 && n < rtMax:
		return "SIGRTMAX-" + strconv.Itoa(rtMax-n)
	case n == rtMax:
		return "SIGRTMAX"
	default:
		return "signal " + strconv.Itoa(n)
	}
}

// CheckReceivable returns nil if this process can receive sig through an [Inbox] and may
// pass it on to the app. Otherwise it returns an error with the reason, as a message for
// the user. A setting for a signal that cannot be received would have no effect, so the
// caller should reject it.
func CheckReceivable(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGKILL, syscall.SIGSTOP:
		return fmt.Errorf("%s cannot be caught by any process", Name(sig))
	case syscall.SIGCHLD:
		return errors.New("SIGCHLD is not for the app: it means that a child of usher has exited")
	}
	if !known(sig) {
		return fmt.Errorf("signal %d does not exist", int(sig))
	}
	return notDelivered(sig)
}
