//go:build !race

package probes

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

var update = flag.Bool("update", false, "write herd.md and herd.svg as they are now")

// "make herd" runs this test with -update, which writes the page and its picture.
func TestHerdPageIsUpToDate(t *testing.T) {
	for file, text := range map[string]string{"herd.md": herdPage(t), "herd.svg": herdPicture()} {
		if *update {
			writeFile(t, file, []byte(text))
			continue
		}
		assert.Equal(t, text, string(readFile(t, file)), "%s is out of date: run make herd", file)
	}
}

const herdIntro = `# Many waiters

What %[1]s processes do to one dependency for which all of them wait. ` + "`make herd` and `make bench`" + ` write this page, and a
test fails if it is out of date. The figures are from a simulation with a fixed seed: the delays are those of
[backoff.go](backoff.go), the time is simulated, and all waiters have the default options. An attempt takes no time,
which gives the highest rate, unless the table says how long it takes; an attempt that times out takes 3 s.

![attempts per second over time](herd.svg)

## Attempts

- **refused**: no process listens on the port, so the kernel rejects the connection.
- **503**: the server responds, and every response costs it work.
- **503 after 200 ms**: the server takes this long to respond.
- **timed out**: the server accepts connections and does not respond until it is ready.
- **refused, then 503**: the server begins to listen after four fifths of the outage.

The waiters start at the same instant, as on a node that boots, or evenly within 10 s. A window is 100 ms long. A burst is
the number of attempts in a window, divided by the mean of the windows around it: those of one second, plus the
duration of an attempt. "Bursts above 2 until" is the time after which no window has a burst above 2, and "largest burst then" is
the largest one after that time. "Before the dependency is ready" means in the last half second. "App
starts" is the time from the moment at which the dependency is ready until the median waiter and the last waiter have
started their apps, of those that started to wait before that moment.

`

const herdStart = `
## The start

If all waiters start at the same instant, so do their first attempts: %[1]s in the first window for the attempts that time
out. The first delays are short, so a dependency that refuses gets %[2]s attempts from each waiter in the first window, and
one that sends 503 gets %[3]s. After the first window there is no burst above 2, because each delay is up to a quarter
shorter or longer at random. A delay before the first attempt would spread the first window too. But it would delay every
app whose dependency is ready, which is the usual case.

If attempts time out, bursts last longer, because an attempt takes 3 s and the delay after it at most
` + "`interval=`" + ` (1s). Each delay is chosen at random from nearly all of that interval; after %[4]s the attempts are spread.

When a server that has refused connections begins to respond, its responses restart the delays, because it will probably
be ready soon. If that happens after 48 s, it gets %[5]s attempts in the next second; if it went on refusing, it would get
%[6]s.

`

const herdLookups = `
## Lookups

A process looks up a name at most once a second, however many targets use it. The table shows %[1]s processes that
start at the same instant, each with the resolver of [resolve.go](resolve.go) and two targets by one name. The second
lookup of a name that resolves waits for up to a second more, at random, so that the processes do not stay in step. The
second lookup of a name that does not resolve does not wait, because the app would start later; here the delays between the
attempts spread the lookups.

`

func herdPage(t *testing.T) string {
	results := simulated()
	var b strings.Builder
	fmt.Fprintf(&b, herdIntro, thousands(herdSize))
	b.WriteString("| failure | waiters start | outage | attempts in the first window | attempts/s before the dependency is ready | bursts above 2 until | largest burst then | app starts: median | last |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, o := range outages() {
		h := results[o.String()]
		start := "at once"
		if o.spread > 0 {
			start = "within " + formatDuration(o.spread)
		}
		at, burst := h.settled()
		until := "no burst"
		if at > 0 {
			until = formatDuration(at)
		}
		end := int(o.up / window)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %.1f | %s | %s |\n", o.name, start, formatDuration(o.up), thousands(h.attempts[0]),
			thousands(h.rate(end-5, end)), until, burst, milliseconds(h.late[len(h.late)/2]), milliseconds(h.late[len(h.late)-1]))
	}

	refused, sent503, timedOut := longOutage(refusing), longOutage(says503), longOutage(hangs3s)
	minute := results[outage{refusesThen503, 0, time.Minute}.String()]
	settled, _ := timedOut.settled()
	fmt.Fprintf(&b, herdStart, thousands(timedOut.attempts[0]), perWaiter(refused.attempts[0]), perWaiter(sent503.attempts[0]), formatDuration(settled),
		thousands(minute.rate(480, 490)), thousands(refused.rate(480, 490)))
	b.WriteString("## Curves\n\nAll waiters start at the same instant. `#` is 20,000 attempts per second.\n\n")
	for _, f := range []failure{refusing, says503} {
		fmt.Fprintf(&b, "    %s\n", f.name)
		edges := []int{0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 300, 600, 1200, 6000}
		for i, from := range edges[:len(edges)-1] {
			rate := longOutage(f).rate(from, edges[i+1])
			fmt.Fprintf(&b, "    from %6s  %9s/s  %s\n", formatDuration(time.Duration(from)*window), thousands(rate), bar(rate, 20000))
		}
		b.WriteString("\n")
	}
	b.WriteString("The largest window of each second, in attempts per second; `#` is 2,000.\n\n    timed out\n")
	for i := 0; i < 300; i += 10 {
		most := slices.Max(timedOut.attempts[i:i+10]) * int(time.Second/window)
		row := fmt.Sprintf("    from %6s  %9s/s  %s", formatDuration(time.Duration(i)*window), thousands(most), bar(most, 2000))
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}

	const processes, outage = 1000, 20 * time.Second
	fmt.Fprintf(&b, herdLookups, thousands(processes))
	b.WriteString("| | lookups in each second: first | second | third | later, at most | bursts above 2 until | largest burst then |\n|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		err  error
	}{{"the name resolves, the port refuses", nil}, {"the name does not resolve", errNoSuchHost}} {
		h := herd{up: outage, longest: 2 * time.Second, attempts: lookups(t, processes, outage, row.err)}
		at, burst := h.settled()
		var seconds []int
		for n := range slices.Chunk(h.attempts, 10) {
			sum := 0
			for _, x := range n {
				sum += x
			}
			seconds = append(seconds, sum)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %.1f |\n", row.name, thousands(seconds[0]), thousands(seconds[1]), thousands(seconds[2]),
			thousands(slices.Max(seconds[3:])), formatDuration(at), burst)
	}
	return b.String()
}

func longOutage(f failure) *herd { return simulated()[outage{f, 0, 10 * time.Minute}.String()] }

// rate returns the mean number of attempts per second in the windows from first to end-1.
func (h *herd) rate(first, end int) int {
	sum := 0
	for _, n := range h.attempts[min(first, len(h.attempts)):min(end, len(h.attempts))] {
		sum += n
	}
	return int(math.Round(float64(sum) / (float64(end-first) * window.Seconds())))
}

func bar(n, unit int) string { return strings.Repeat("#", (n+unit/2)/unit) }

// thousands formats a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// perWaiter formats the mean number of attempts per waiter. attempts is the number of
// attempts of all waiters together.
func perWaiter(attempts int) string { return fmt.Sprintf("%.1f", float64(attempts)/herdSize) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
}

// formatDuration formats whole minutes without the "0s" that Duration.String appends.
func formatDuration(d time.Duration) string { return strings.Replace(d.String(), "m0s", "m", 1) }

// The picture has a panel for attempts that are refused or get a 503, and one for attempts
// that time out. Each panel shows the attempts per second on a logarithmic axis.
const (
	panelLeft, panelWidth, panelHeight = 70, 550, 160
	lowestRate, highestRate            = 1e3, 1e6
)

type curve struct {
	class string // the CSS class of the curve
	name  string
	h     *herd
}

func herdPicture() string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 460" width="640" height="460" font-family="sans-serif" font-size="12">
<title>Attempts per second of 10,000 waiters</title>
<style>
text { fill: #24292f } line { stroke: #d0d7de } polyline { fill: none; stroke-width: 1.5 }
.a { stroke: #0969da } .b { stroke: #bc4c00 } text.a { fill: #0969da; stroke: none } text.b { fill: #bc4c00; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } line { stroke: #3d444d }
.a { stroke: #58a6ff } .b { stroke: #f0883e } text.a { fill: #58a6ff } text.b { fill: #f0883e }
}
</style>
`)
	panel(&b, 30, "refused, and 503", 10, []curve{{"a", "refused", longOutage(refusing)}, {"b", "503", longOutage(says503)}})
	panel(&b, 255, "timed out after 3 s", 60, []curve{{"a", "", longOutage(hangs3s)}})
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws each curve from 0 to the given number of seconds, with a title and axes. top is
// the y coordinate of the highest line of the grid; the title is above it.
func panel(b *strings.Builder, top int, title string, seconds int, curves []curve) {
	y := func(rate float64) float64 {
		share := math.Log(max(rate, lowestRate)/lowestRate) / math.Log(highestRate/lowestRate)
		return float64(top+panelHeight) - share*panelHeight
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">attempts per second of %s waiters: %s</text>`+"\n", panelLeft, top-12, thousands(herdSize), title)
	for rate := lowestRate; rate <= highestRate; rate *= 10 {
		fmt.Fprintf(b, `<line x1="%d" y1="%.0f" x2="%d" y2="%.0f"/><text x="%d" y="%.0f" text-anchor="end">%s</text>`+"\n",
			panelLeft, y(rate), panelLeft+panelWidth, y(rate), panelLeft-6, y(rate)+4, thousands(int(rate)))
	}
	for i := range 6 {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%d s</text>`+"\n", panelLeft+i*panelWidth/5, top+panelHeight+16, i*seconds/5)
	}
	for _, c := range curves {
		windows := seconds * int(time.Second/window)
		fmt.Fprintf(b, `<polyline class="%s" points="`, c.class)
		for i, n := range c.h.attempts[:windows] {
			fmt.Fprintf(b, "%.1f,%.0f ", panelLeft+(float64(i)+0.5)*panelWidth/float64(windows), y(float64(n)*float64(time.Second/window)))
		}
		last := float64(c.h.attempts[windows-1]) * float64(time.Second/window)
		fmt.Fprintf(b, `"/><text class="%s" x="%d" y="%.0f" text-anchor="end">%s</text>`+"\n", c.class, panelLeft+panelWidth, y(last)-6, c.name)
	}
}
