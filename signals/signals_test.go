package signals

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for word, want := range map[string]syscall.Signal{
		"TERM": 15, "SIGTERM": 15, "term": 15, "SigTerm": 15, "15": 15, "015": 15,
		"HUP": 1, "1": 1, "64": 64, "32": 32, "33": 33, "WINCH": 28,
		"RTMIN": 34, "RTMIN+0": 34, "RTMIN+3": 37, "SIGRTMIN+3": 37, "rtmin+30": 64,
		"RTMAX": 64, "RTMAX-0": 64, "SIGRTMAX-1": 63, "RTMAX-30": 34,
		"IOT": 6, "ABRT": 6, "CLD": 17, "SIGPOLL": 29, "IO": 29, "SYS": 31,
	} {
		got, err := Parse(word)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", word, got, err, want)
		}
	}
}

func TestParseErrorNamesTheRightForm(t *testing.T) {
	for word, hint := range map[string]string{
		"": "name", "SIG": "name", "TREM": "name", "SIGSIGTERM": "name", " TERM": "name", "TERM ": "name",
		"+15": "name", "-9": "name", "1.5": "name", "0x0f": "name",
		"0": "1 to 64", "65": "1 to 64", "99999999999999999999": "1 to 64",
		"RTMIN+31": "RTMIN+30", "RTMIN-1": "RTMIN+30", "RTMAX+1": "RTMAX-30", "RTMAX-31": "RTMAX-30",
		"RTMIN+": "RTMIN+30", "RTMIN3": "RTMIN+30", "RTMIN++3": "RTMIN+30", "RTMIN+-1": "RTMIN+30",
		"RTMIN+99999999999999999999": "RTMIN+30",
	} {
		got, err := Parse(word)
		if err == nil || got != 0 {
			t.Errorf("Parse(%q) = %d, %v; want an error", word, got, err)
			continue
		}
		if !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), hint) {
			t.Errorf("Parse(%q): %v; want the word and %q in it", word, err, hint)
		}
	}
}

func TestName(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{
		15: "SIGTERM", 34: "SIGRTMIN", 37: "SIGRTMIN+3", 49: "SIGRTMIN+15", 50: "SIGRTMAX-14",
		63: "SIGRTMAX-1", 64: "SIGRTMAX", 32: "signal 32", 33: "signal 33", 0: "signal 0", 65: "signal 65", -1: "signal -1",
	} {
		if got := Name(sig); got != want {
			t.Errorf("Name(%d) = %q, want %q", int(sig), got, want)
		}
	}
	for sig := syscall.Signal(1); sig < 32; sig++ {
		if got, want := Name(sig), unix.SignalName(sig); got != want {
			t.Errorf("Name(%d) = %q, unix.SignalName returns %q", int(sig), got, want)
		}
	}
}

func TestParseReadsEveryName(t *testing.T) {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		words := []string{fmt.Sprint(int(sig))}
		if sig != 32 && sig != 33 { // 32 and 33 have no name
			words = append(words, Name(sig), strings.ToLower(Name(sig)), strings.TrimPrefix(Name(sig), "SIG"))
		}
		for _, word := range words {
			if got, err := Parse(word); err != nil || got != sig {
				t.Errorf("Parse(%q) = %d, %v; want %d", word, int(got), err, int(sig))
			}
		}
	}
}

func TestCheckReceivable(t *testing.T) {
	var not []string
	for sig := syscall.Signal(-1); sig <= 66; sig++ {
		if CheckReceivable(sig) != nil {
			not = append(not, Name(sig))
		}
	}
	if got := strings.Join(not, " "); got != notReceivable {
		t.Errorf("not receivable: %s\nwant: %s", got, notReceivable)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"TERM", "SIGRTMIN+3", "RTMAX-1", "15", "", "SIG", "RTMIN+", "ſIGTERM", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := Parse(s)
		if err != nil {
			if sig != 0 {
				t.Errorf("Parse(%q) = %d beside an error", s, sig)
			}
			return
		}
		if sig < 1 || sig > 64 {
			t.Fatalf("Parse(%q) = %d", s, sig)
		}
		if sig == 32 || sig == 33 {
			return
		}
		if again, err := Parse(Name(sig)); err != nil || again != sig {
			t.Errorf("Parse(%q) = %s, which reads back as %d, %v", s, Name(sig), again, err)
		}
	})
}
