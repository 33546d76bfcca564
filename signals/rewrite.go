package signals

import (
	"fmt"
	"strings"
	"syscall"
)

// Rewrite maps a received signal to the signal that the app gets instead; 0 means that
// the app gets none. A signal that is not in the map is forwarded unchanged.
type Rewrite map[syscall.Signal]syscall.Signal

// Apply returns the signal to send instead of sig, and false if sig is dropped. The
// result is not rewritten again: with the rules A:B and B:C, A becomes B.
func (r Rewrite) Apply(sig syscall.Signal) (syscall.Signal, bool) {
	to, ok := r[sig]
	if !ok {
		return sig, true
	}
	return to, to != 0
}

// ParseRewrite parses one rule FROM:TO, with names or numbers on both sides. If TO is 0
// the signal is dropped.
//
// FROM must be a signal that can be received (see [CheckReceivable]), because otherwise
// the rule would have no effect. TO may be any signal, even SIGKILL or SIGSTOP.
func ParseRewrite(s string) (from, to syscall.Signal, err error) {
	left, right, ok := strings.Cut(s, ":")
	if !ok {
		return 0, 0, fmt.Errorf("cannot read rewrite %q: write FROM:TO, such as HUP:USR1, or FROM:0 to drop it", s)
	}
	if from, err = Parse(left); err != nil {
		return 0, 0, fmt.Errorf("cannot read rewrite %q: %w", s, err)
	}
	if err := CheckReceivable(from); err != nil {
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
