package signals

import (
	"strings"
	"syscall"
	"testing"
)

func TestRewrite(t *testing.T) {
	r := Rewrite{syscall.SIGHUP: syscall.SIGUSR1, syscall.SIGUSR1: syscall.SIGUSR2, syscall.SIGWINCH: 0}
	for _, c := range []struct {
		r        Rewrite
		in, want syscall.Signal
		send     bool
	}{
		{r, syscall.SIGHUP, syscall.SIGUSR1, true}, // not USR2, because the result is not rewritten again
		{r, syscall.SIGUSR1, syscall.SIGUSR2, true},
		{r, syscall.SIGWINCH, 0, false},
		{r, syscall.SIGTERM, syscall.SIGTERM, true},
		{nil, syscall.SIGHUP, syscall.SIGHUP, true},
	} {
		if got, send := c.r.Apply(c.in); got != c.want || send != c.send {
			t.Errorf("%v.Apply(%s) = %s, %v", c.r, Name(c.in), Name(got), send)
		}
	}
}

func TestParseRewrite(t *testing.T) {
	for s, want := range map[string][2]syscall.Signal{
		"HUP:USR1": {1, 10}, "SIGHUP:SIGUSR1": {1, 10}, "1:10": {1, 10}, "hup:0": {1, 0},
		"TERM:RTMIN+3": {15, 37}, "RTMIN+1:TERM": {35, 15}, "USR1:KILL": {10, 9}, "TSTP:STOP": {20, 19},
		"SEGV:TERM": {11, 15}, "HUP:HUP": {1, 1}, "HUP:PIPE": {1, 13},
	} {
		from, to, err := ParseRewrite(s)
		if err != nil || from != want[0] || to != want[1] {
			t.Errorf("ParseRewrite(%q) = %d, %d, %v; want %d", s, from, to, err, want)
		}
	}
	for s, hint := range map[string]string{
		"": "FROM:TO", "HUP": "FROM:TO", "HUP=USR1": "FROM:TO",
		":TERM": "name", "HUP:": "name", "HUP:USR1:0": "USR1:0", "0:TERM": "1 to 64", "HUP:65": "1 to 64", "HUP:NO": "NO", "HUP:-1": "-1",
		"KILL:TERM": "SIGKILL cannot be caught", "STOP:0": "SIGSTOP cannot be caught",
		"CHLD:0": "a child of usher has exited",
	} {
		from, to, err := ParseRewrite(s)
		if err == nil || from != 0 || to != 0 {
			t.Errorf("ParseRewrite(%q) = %d, %d, %v; want an error", s, from, to, err)
		} else if !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseRewrite(%q): %v; want %q in it", s, err, hint)
		}
	}
}

func FuzzParseRewrite(f *testing.F) {
	for _, s := range []string{"HUP:USR1", "WINCH:0", "RTMIN+3:KILL", "KILL:TERM", ":", "::", "HUP"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		from, to, err := ParseRewrite(s)
		if err != nil {
			return
		}
		if CheckReceivable(from) != nil || to < 0 || to > 64 {
			t.Errorf("ParseRewrite(%q) = %d, %d", s, from, to)
		}
		if got, send := (Rewrite{from: to}).Apply(from); got != to || send != (to != 0) {
			t.Errorf("ParseRewrite(%q) applies as %d, %v", s, got, send)
		}
	})
}
