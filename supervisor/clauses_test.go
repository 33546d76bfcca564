package supervisor

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clausePatterns returns a regular expression for each element of the table clauses
// (story_test.go), in the same order. It is made from the element's field pattern, in which
// NAMES, N and D become groups.
var clausePatterns = sync.OnceValue(func() (all []*regexp.Regexp) {
	for _, c := range clauses {
		pattern := c.pattern
		for _, part := range [][2]string{{"NAMES", `(?P<names>.+)`}, {"N", `(?P<n>\d+)`}, {"D", `(?P<d>[\d.]+[a-z]+[\d.a-z]*)`}} {
			if part[0] == "N" && strings.Contains(pattern, "names") {
				continue
			}
			pattern = regexp.MustCompile(`\b`+part[0]+`\b`).ReplaceAllLiteralString(pattern, part[1])
		}
		all = append(all, regexp.MustCompile("^"+pattern+"$"))
	}
	return all
})

// readClauses caches every clause of a story that has been read, because TestLives reads
// the same clauses millions of times. The key is the clause's text, the value a
// func(*behaviour) that applies the clause.
var readClauses sync.Map

// read applies one clause of a story's section "processes", such as "exits 0 after 2s".
func (b *behaviour) read(t *testing.T, clause string) {
	t.Helper()
	set, known := readClauses.Load(clause)
	if !known {
		set = readClause(t, clause)
		readClauses.Store(clause, set)
	}
	set.(func(*behaviour))(b)
}

func readClause(t *testing.T, clause string) func(*behaviour) {
	t.Helper()
	for i, m := range clausePatterns() {
		found := m.FindStringSubmatch(clause)
		if found == nil {
			continue
		}
		var d time.Duration
		var n int
		var names []string
		for i, group := range m.SubexpNames() {
			switch group {
			case "d":
				d = duration(t, found[i])
			case "n":
				_, err := fmt.Sscan(found[i], &n)
				require.NoError(t, err)
			case "names":
				names = strings.Fields(found[i])
			}
		}
		return func(b *behaviour) { clauses[i].set(b, d, n, names) }
	}
	t.Fatalf("unknown clause about a process: %q", clause)
	return nil
}
