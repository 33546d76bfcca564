package supervisor

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/probes"
)

func TestBudget(t *testing.T) {
	const s = time.Second
	hook := func(timeout time.Duration) probes.Target { return probes.Target{Timeout: timeout} }
	for _, c := range []struct {
		name   string
		config Config
		want   Budget
	}{
		{"no grace, no budget", Config{StopReserve: 5 * s}, Budget{}},
		{"the app has half of the grace period, at most 10s", Config{Grace: 25 * s}, Budget{Drain: 15 * s, Kill: 25 * s, Grace: 25 * s, Reserve: 10 * s}},
		{"the app has half of the grace period", Config{Grace: 8 * s}, Budget{Drain: 4 * s, Kill: 8 * s, Grace: 8 * s, Reserve: 4 * s}},
		{"timeouts whose sum overflows", Config{Grace: 10 * s, PostStop: []probes.Target{hook(math.MaxInt64), hook(math.MaxInt64)}},
			Budget{Drain: 3 * s, Kill: 8 * s, Grace: 10 * s, Reserve: 5 * s}},
		{"post-stop has the sum of its timeouts", Config{Grace: 25 * s, PostStop: []probes.Target{hook(2 * s), hook(1 * s)}},
			Budget{Drain: 12 * s, Kill: 22 * s, Grace: 25 * s, Reserve: 10 * s}},
		{"post-stop has a fifth at most", Config{Grace: 25 * s, PostStop: []probes.Target{hook(10 * s)}},
			Budget{Drain: 10 * s, Kill: 20 * s, Grace: 25 * s, Reserve: 10 * s}},
		{"a post-stop hook without a timeout", Config{Grace: 10 * s, PostStop: []probes.Target{hook(0)}},
			Budget{Drain: 3 * s, Kill: 8 * s, Grace: 10 * s, Reserve: 5 * s}},
		{"a written reserve", Config{Grace: 25 * s, StopReserve: 20 * s}, Budget{Drain: 5 * s, Kill: 25 * s, Grace: 25 * s, Reserve: 20 * s}},
		{"a written reserve leaves nothing for a default timeout", Config{Grace: 10 * s, StopReserve: 10 * s, PostStop: []probes.Target{hook(5 * s)}},
			Budget{Drain: 0, Kill: 10 * s, Grace: 10 * s, Reserve: 10 * s}},
		{"a written reserve and a written post-stop timeout", Config{Grace: 10 * s, StopReserve: 8 * s, PostStop: []probes.Target{{Timeout: 2 * s, TimeoutWritten: true}}},
			Budget{Drain: 0, Kill: 8 * s, Grace: 10 * s, Reserve: 8 * s}},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, c.config.Budget()) })
	}
}

func TestBudgetTimesAreInOrderForAllSettings(t *testing.T) {
	for grace := time.Duration(1); grace < time.Minute; grace += 777 * time.Millisecond {
		for reserve := time.Duration(0); reserve <= grace; reserve += grace/7 + 1 {
			for post := time.Duration(0); post <= 3; post++ {
				c := Config{Grace: grace, StopReserve: reserve, PostStop: make([]probes.Target, post)}
				b := c.Budget()
				assert.True(t, 0 <= b.Drain && b.Drain <= b.Kill && b.Kill <= b.Grace && b.Grace == grace, "%+v of %+v", b, c)
				assert.Equal(t, b.Reserve, b.Kill-b.Drain)
			}
		}
	}
}
