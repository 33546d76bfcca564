package supervisor

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// A life is a random story, and a problem is the text that says which promise usher broke in it.
// Two lives have the same problem if usher broke the same promise in both. numbersAndNames matches
// the parts in which their texts may differ: numbers, times, names of processes, lists in brackets
// and quoted texts.
var numbersAndNames = regexp.MustCompile(`[a-z]*\d[\da-zµ.]*|\bapp\b|\[.*\]|".*"`)

// kindOf returns the text of a problem with "#" for each match of numbersAndNames.
func kindOf(problem string) string { return numbersAndNames.ReplaceAllString(problem, "#") }

// shrink leaves out the parts of a life that are not needed for its problem, and makes times
// simpler. It stops after the time limit. fails reports whether a life still has the problem.
func shrink(l *life, limit time.Duration, fails func(*life) bool) *life {
	began := time.Now()
	for smaller := true; smaller; {
		smaller = false
		for _, candidate := range l.smaller() {
			if time.Since(began) > limit {
				return l
			}
			if fails(candidate) {
				l, smaller = candidate, true
				break
			}
		}
	}
	return l
}

func (l *life) clone() *life {
	c := &life{l.waitOnly, slices.Clone(l.flags), slices.Clone(l.machine), slices.Clone(l.processes), slices.Clone(l.targets), slices.Clone(l.events)}
	for i := range c.processes {
		c.processes[i].clauses = slices.Clone(c.processes[i].clauses)
	}
	return c
}

// smaller returns the lives that result from leaving out one part. If there are at most 40 of
// them, it adds lives in which one time is simpler.
func (l *life) smaller() (all []*life) {
	try := func(change func(c *life)) {
		c := l.clone()
		change(c)
		c.dropUnused()
		all = append(all, c)
	}
	without := func(lines *[]string, i int) { *lines = slices.Delete(*lines, i, i+1) }
	for i := range l.flags {
		try(func(c *life) { without(&c.flags, i) })
	}
	for i := range l.machine {
		try(func(c *life) { without(&c.machine, i) })
	}
	for i := range l.events {
		try(func(c *life) { without(&c.events, i) })
	}
	for i := range l.processes {
		for j := range l.processes[i].clauses {
			try(func(c *life) { without(&c.processes[i].clauses, j) })
			words := strings.Fields(l.processes[i].clauses[j])
			names := len(slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !isName(word) }))
			for w, word := range words {
				if names > 1 && isName(word) {
					try(func(c *life) {
						c.processes[i].clauses[j] = strings.Join(slices.Delete(slices.Clone(words), w, w+1), " ")
					})
				}
			}
		}
	}
	for i, flag := range l.flags {
		if words := strings.Fields(flag); len(words) > 2 {
			try(func(c *life) { c.flags[i] = words[0] + " '" + words[len(words)-1] })
		}
	}
	if len(all) > 40 {
		return all
	}
	for i := range l.flags {
		l.simplerTimes(l.flags[i], func(text string) { try(func(c *life) { c.flags[i] = text }) })
	}
	for i := range l.events {
		l.simplerTimes(l.events[i], func(text string) { try(func(c *life) { c.events[i] = text }) })
	}
	for i := range l.processes {
		for j, clause := range l.processes[i].clauses {
			l.simplerTimes(clause, func(text string) { try(func(c *life) { c.processes[i].clauses[j] = text }) })
		}
	}
	return all
}

var nameOfChild = regexp.MustCompile(`^(child|daemon|left|late)\d+$`)

func isName(word string) bool { return nameOfChild.MatchString(word) }

var timesInText = regexp.MustCompile(`\b\d[\d.ms]*s\b`)

// simplerTimes calls try with copies of a line. In each copy one time is replaced by a simpler
// one.
func (l *life) simplerTimes(line string, try func(string)) {
	for _, at := range timesInText.FindAllStringIndex(line, -1) {
		old := line[at[0]:at[1]]
		for _, simple := range []string{"1s", "2s", "3s", "5s", "10s", "20s", "500ms"} {
			if len(simple) > len(old) || simple == old {
				continue
			}
			oldTime, _ := time.ParseDuration(old)
			newTime, _ := time.ParseDuration(simple)
			if simplicity(newTime) < simplicity(oldTime) {
				try(line[:at[0]] + simple + line[at[1]:])
			}
		}
	}
}

// simplicity returns the rank of a time; the simplest time has rank 0. A time is replaced only
// by one of a lower rank, so shrink cannot replace times for ever.
func simplicity(d time.Duration) int {
	order := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 500 * time.Millisecond}
	if i := slices.Index(order, d); i >= 0 {
		return i
	}
	return len(order)
}

// dropUnused leaves out targets and processes to which no other line refers any more.
func (l *life) dropUnused() {
	flags := strings.Join(l.flags, "\n")
	l.targets = slices.DeleteFunc(l.targets, func(target string) bool {
		name, _, _ := strings.Cut(target, ": ")
		return !strings.Contains(flags, name+"'")
	})
	for range l.processes { // repeated, because dropping a process can make another one unused
		text := flags + "'" + strings.Join(l.events, " ")
		for _, p := range l.processes {
			for _, clause := range p.clauses {
				text += " " + clause
			}
		}
		words := regexp.MustCompile(`[\w-]+`).FindAllString(text, -1)
		l.processes = slices.DeleteFunc(l.processes, func(p lifeProcess) bool {
			return p.name != "app" && !slices.Contains(words, p.name)
		})
	}
}
