package supervisor

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A process that was killed for lack of memory is reported if the app failed,
// before the summary; not if usher killed the app itself.
func TestOutOfMemory(t *testing.T) {
	const report = "2 killed for lack of memory, limit 67108864"
	killed := func(k *fake) { k.oomKills = 2 }
	none := func(*fake) {}
	for name, c := range map[string]struct {
		app     behaviour
		kills   func(*fake)
		reports bool
	}{
		"the app exits 0":                {behaviour{lives: time.Second}, killed, false},
		"it exits 1":                     {behaviour{lives: time.Second, code: 1}, killed, true},
		"it exits 1, nothing was killed": {behaviour{lives: time.Second, code: 1}, none, false},
		"it is killed in its shutdown":   {behaviour{obeys: time.Second, code: 137}, killed, true},
		"usher kills it":                 {behaviour{deaf: true}, killed, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := story{config: Config{Command: theApp, Grace: 5 * time.Second}, acts: map[string]behaviour{"app": c.app}, net: c.kills,
				then: map[string]syscall.Signal{"2s": term}}
			var text string
			synctest.Test(t, func(t *testing.T) { text = s.tell(t) })
			assert.Regexp(t, `account: `, text)
			if c.reports {
				assert.Regexp(t, `(?s)`+report+`.*account: `, text)
			} else {
				assert.NotContains(t, text, report)
			}
		})
	}
}
