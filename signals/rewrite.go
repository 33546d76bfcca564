package signals

import (
	"fmt"
	"strings"
	"syscall"
)

// Rewrite says what the app gets instead of a signal; 0 means nothing at all.
// What is absent is passed on unchanged, so nil is a Rewrite that changes nothing.
type Rewrite map[syscall.Signal]syscall.Signal

// Apply returns what to send in place of sig, and false if nothing is to be sent.
// It is applied once: with A:B and B:C, an A arrives as B.
func (r Rewrite) Apply(sig syscall.Signal) (syscall.Signal, bool) {
	to, ok := r[sig]
	if !ok {
		return sig, true
	}
	return to, to != 0
}

// ParseRewrite reads one FROM:TO, names or numbers on both sides; TO = 0 drops
// the signal.
//
// FROM must be a signal that usher can hear (see [Receivable]), because a
// rewrite of any other would do nothing, silently. TO may be any signal, also
// SIGKILL and SIGSTOP: usher itself never sends those before its deadline, but
// who writes HUP:KILL has asked for it.
func ParseRewrite(s string) (from, to syscall.Signal, err error) {
	left, right, ok := strings.Cut(s, ":")
	if !ok {
		return 0, 0, fmt.Errorf("cannot read rewrite %q: write FROM:TO, such as HUP:USR1, or FROM:0 to drop it", s)
	}
	if from, err = Parse(left); err != nil {
		return 0, 0, fmt.Errorf("cannot read rewrite %q: %w", s, err)
	}
	if err := Receivable(from); err != nil {
		return 0, 0, fmt.Errorf("cannot rewrite %s: %w", Name(from), err)
	}
	if right == "0" {
		return from, 0, nil
	}
	if to, err = Parse(right); err != nil {
		return 0, 0, fmt.Errorf("cannot read rewrite %q: %w", s, err)
	}
	return from, to, nil
}
