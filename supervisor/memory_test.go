package supervisor

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOutOfMemoryIsReportedIfTheAppFailed(t *testing.T) {
	const report = "killed for lack of memory, limit 67108864"
	for name, c := range map[string]struct {
		app     string
		kills   int
		reports bool
	}{
		"the app exits 0":                     {"exits 0 after 1s", 2, false},
		"the app exits 1":                     {"exits 1 after 1s", 2, true},
		"the app exits 1, nothing was killed": {"exits 1 after 1s", 0, false},
		"the app fails during the shutdown":   {"on a stop signal exits 137 after 1s", 2, true},
		"usher kills the app at the deadline": {"ignores signals", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := readStory(fmt.Sprintf("-- usher --\nusher --grace 5s -- app\n-- machine --\n%d processes are killed for lack of memory\n"+
				"-- processes --\napp: %s\n-- events --\n2s TERM\n", c.kills, c.app)).run(t)
			if c.reports {
				assert.Regexp(t, `(?s)2 `+report+`.*shutdown took`, text)
			} else {
				assert.NotContains(t, text, report)
			}
		})
	}
}
