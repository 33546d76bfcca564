package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// contract is testdata/contract.txt: its tables by their titles up to a colon.
func contract(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/contract.txt")
	require.NoError(t, err)
	tables := map[string][]string{}
	for table := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		rows := strings.Split(table, "\n")
		title, _, _ := strings.Cut(rows[0], ":")
		title, _, _ = strings.Cut(title, ",")
		tables[title] = rows[1:]
	}
	return tables
}

// words are those of a table that is a list.
func words(rows []string) []string { return strings.Fields(strings.Join(rows, " ")) }

// pages are all that a person may read.
type pages struct{ help, man, readme, supervisor string }

func readPages(t *testing.T) pages {
	t.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	return pages{usage, read("usher.1"), read("../../README.md"), read("../../supervisor/doc.go")}
}

// row is that of a table of the README whose first cell holds word.
func (p pages) row(word string) string {
	word = regexp.QuoteMeta(strings.ReplaceAll(word, "|", `\|`))
	return regexp.MustCompile("(?m)^\\| ([^|\n]*, |[^|\n]* )?`" + word + "[^`]*`.*$").FindString(p.readme)
}

// The program, its help, the manual, the README and the packages' pages say the
// same as the contract, of everything that it has a table for.
func TestContract(t *testing.T) {
	tables, p := contract(t), readPages(t)
	t.Run("flags", func(t *testing.T) { contractOfFlags(t, tables, p) })
	t.Run("targets", func(t *testing.T) { contractOfTargets(t, words(tables["targets"]), p) })
	t.Run("options", func(t *testing.T) { contractOfOptions(t, tables, p) })
	t.Run("the rest", func(t *testing.T) { contractOfTheRest(t, tables, p) })
}

func contractOfFlags(t *testing.T, tables map[string][]string, p pages) {
	known := map[string]bool{}
	newFlags().VisitAll(func(flag *pflag.Flag) { known["--"+flag.Name] = true })
	columns := regexp.MustCompile(` {2,}`)
	for _, row := range tables["flags"] {
		cells := append(columns.Split(row, -1), "")
		name, _, _ := strings.Cut(cells[0], " ")
		if !assert.True(t, known[name], "there is no %s", name) {
			continue
		}
		delete(known, name)
		flag := newFlags().Lookup(name[2:])
		kind := map[string]string{"stringArray": "many", "string": "once", "bool": "switch"}[flag.Value.Type()]
		assert.Equal(t, cells[1], kind, name)

		help := regexp.MustCompile(`(?m)^  (-h, )?` + regexp.QuoteMeta(cells[0]) + `[, ](.*\n( {26}.*\n)*)`).FindString(p.help)
		man := regexp.MustCompile(`(?ms)^\.It Fl (h , )?-` + name[2:] + `( .*?|\n.*?)(\n\.It|\n\.El)`).FindString(p.man)
		readme := p.row(cells[0])
		for page, text := range map[string]string{"--help": help, "usher(1)": man, "the README": readme} {
			assert.NotEmpty(t, text, "%s has no %s", page, cells[0])
			assert.Contains(t, strings.ReplaceAll(strings.ToLower(text), "\n", " "), cells[2], "%s of %s", page, name)
		}
		if kind == "many" {
			assert.Regexp(t, ` \*|again`, help, name)
			assert.Regexp(t, `[Rr]epeatable|again`, man, name)
			assert.Contains(t, readme, "repeatable", name)
		}
	}
	assert.Empty(t, known, "flags of which the contract has no row")
	for _, name := range words(tables["flags that need --grace"]) {
		assert.Contains(t, p.row(name+" "), "needs `--grace`", name)
		assert.Regexp(t, `(?s)\n\.It Fl -`+name[2:]+` [^\n]*\n((\.[^I]|[^.])[^\n]*\n)*Needs\n\.Fl -grace `, p.man)
	}
	for page, text := range map[string]string{"--help": p.help, "usher(1)": p.man, "the README": p.readme} {
		_, text, _ = strings.Cut(text, "Every flag but")
		text, _, _ = strings.Cut(regexp.MustCompile(`\.Fl |, -|\nand\n`).ReplaceAllString(text, " -"), "variable")
		assert.Equal(t, words(tables["flags without a variable"]), dashed(regexp.MustCompile(`-[a-z]+`).FindAllString(text, -1)), page)
	}
	defaults := parsed(t, []string{"app"}, nil)
	assert.Equal(t, time.Minute, defaults.config.WaitTimeout)
	assert.Equal(t, 10*time.Second, supervisor.DefaultReserve)
	assert.Zero(t, defaults.config.Grace)
	assert.False(t, defaults.json)
	assert.Equal(t, "/dev/termination-log", defaultTerminationLog)
	contractOfConflicts(t, tables)
}

// dashed are flags as the manual's source writes them, with the second dash.
func dashed(flags []string) (all []string) {
	for _, flag := range flags {
		all = append(all, "-"+flag)
	}
	return all
}

// samples is a value for each flag that takes one.
var samples = map[string]string{"--grace": "9s", "--drain-delay": "1s", "--drain-idle": "1s", "--stop-reserve": "1s", "--stop-signal": "QUIT",
	"--rewrite": "HUP:USR1", "--success-exit": "143", "--health": ":8086", "--stop-on": "QUIT", "--wait-timeout": "1s",
	"--log": "text", "--termination-log": "/x", "--install": "/x"}

// given is a flag with a value that is right.
func given(name string) string {
	flag := newFlags().Lookup(name[2:])
	switch {
	case flag.Value.Type() == "bool":
		return name
	case samples[name] != "":
		return name + "=" + samples[name]
	}
	return name + "=true"
}

// contractOfConflicts tries each flag without --grace, with --exec, and as a
// variable.
func contractOfConflicts(t *testing.T, tables map[string][]string) {
	newFlags().VisitAll(func(flag *pflag.Flag) {
		name := "--" + flag.Name
		answered := slices.Contains([]string{"--help", "--version", "--install", "--probe", "--exec"}, name)
		if !answered {
			_, err := parseOptions([]string{given(name), "app"}, nil)
			needs := err != nil && strings.Contains(err.Error(), name+" needs --grace")
			assert.Equal(t, slices.Contains(words(tables["flags that need --grace"]), name), needs, "%s: %v", name, err)
			_, err = parseOptions([]string{"--exec", given(name), "app"}, nil)
			refused := err != nil && strings.Contains(err.Error(), name+": with --exec")
			assert.Equal(t, slices.Contains(words(tables["flags refused with --exec"]), name), refused, "%s: %v", name, err)
		}
		_, value, _ := strings.Cut(given(name), "=")
		o, _ := parseOptions([]string{"app"}, []string{variable(flag.Name) + "=" + cmp.Or(value, "true")})
		assert.Equal(t, slices.Contains(words(tables["flags without a variable"]), name), len(o.config.Env) == 1, name)
	})
}

func contractOfTargets(t *testing.T, kinds []string, p pages) {
	_, err := probes.Parse("unknown://x", probes.ForWait)
	require.Error(t, err)
	_, list, _ := strings.Cut(err.Error(), "known are ")
	list, _, _ = strings.Cut(list, ";")
	assert.Equal(t, kinds, append(strings.Fields(strings.ReplaceAll(list, "://", "")), "command"))
	for _, kind := range kinds {
		if kind == "command" {
			assert.Contains(t, p.help, "\n  a command ")
			assert.Contains(t, p.man, ".It a command\n")
			assert.Contains(t, p.readme, "\n| a command |")
			continue
		}
		if kind != "postgresql" { // the other name of postgres
			assert.Contains(t, p.help, " "+kind+"://")
		}
		assert.Contains(t, p.man, "Cm "+kind+"://")
		assert.NotEmpty(t, p.row(kind+"://"), kind)
	}
}

var useNames = map[string]probes.Use{"wait": probes.ForWait, "ready": probes.ForReady, "start": probes.ForStart, "end": probes.ForEnd, "probe": probes.ForProbe}

// optionSamples are values that are right.
var optionSamples = map[string]string{
	"timeout": "2s", "name": "x", "interval": "500ms", "within": "30s", "optional": "30s", "successes": "2", "retries": "2",
	"method": "POST", "status": "204", "header": "'K: V'", "body": "x", "match": "x",
	"ca": "/x", "cert": "/x key=/x", "key": "/x cert=/x", "server-name": "x", "insecure": "true", "send": "x", "expect": "x",
}

// targetOf is a target of a kind.
func targetOf(kind string) string {
	switch kind {
	case "command":
		return "true"
	case "unix", "file":
		return kind + ":///x"
	case "dns":
		return "dns://x"
	}
	return kind + "://x:1"
}

func contractOfOptions(t *testing.T, tables map[string][]string, p pages) {
	var names []string
	holds := func(list, word string) bool { return list == "all" || slices.Contains(strings.Split(list, ","), word) }
	for _, row := range tables["options"] {
		cells := strings.Fields(row)
		name := cells[0]
		names = append(names, name)
		for word, use := range useNames {
			for _, kind := range words(tables["targets"]) {
				_, err := probes.Parse(name+"="+optionSamples[name]+" "+targetOf(kind), use)
				assert.Equal(t, holds(cells[1], word) && holds(cells[2], kind), err == nil, "%s= of %s for --%s: %v", name, kind, word, err)
			}
		}
		assert.Contains(t, p.help, " "+name+"=")
		assert.Contains(t, p.man, "Cm "+name+"=")
		assert.NotEmpty(t, p.row(name+"="), name)
	}
	assert.ElementsMatch(t, names, targetOptions)
	_, err := probes.Parse("no-such-option=1 true", probes.ForWait)
	require.Error(t, err)
	known := regexp.MustCompile(` ([a-z-]+)=`).FindAllStringSubmatch(strings.SplitN(err.Error(), ";", 2)[0], -1)
	require.Len(t, known, len(names)+1, "and the one that does not exist")
	for _, option := range known[1:] {
		assert.Contains(t, names, option[1])
	}

	for _, pair := range strings.Split(tables["timeouts without timeout="][0], ", ") {
		use, limit, _ := strings.Cut(pair, " ")
		target, err := probes.Parse("true", useNames[use])
		require.NoError(t, err)
		want, _ := time.ParseDuration(strings.Replace(limit, "none", "0", 1))
		assert.Equal(t, want, target.Timeout, use)
		if limit == "none" {
			limit = "others none"
		}
		row := p.row("timeout=")
		if use == "probe" {
			row = p.row("--probe TARGET")
		}
		assert.Contains(t, row, limit)
	}
}

func contractOfTheRest(t *testing.T, tables map[string][]string, p pages) {
	var phases []string
	for phase := supervisor.Wait; phase <= supervisor.Done; phase++ {
		phases = append(phases, phase.String())
	}
	assert.Equal(t, words(tables["phases"]), phases)
	for _, phase := range phases {
		assert.Regexp(t, `(?m)^\| (ready, )?`+phase+`[ ,]`, p.readme)
		assert.Regexp(t, `(?m)^\.It (ready, )?`+phase+`(,|$)`, p.man)
		assert.Regexp(t, `(?m)^//\t.*\b`+phase+`\b`, p.supervisor)
	}
	codes := []string{fmt.Sprint(supervisor.CodeTimeout), fmt.Sprint(supervisor.CodeFault), fmt.Sprint(supervisor.CodeCannotRun), fmt.Sprint(supervisor.CodeNotFound), "128+n"}
	assert.Equal(t, words(tables["exit codes"]), codes)
	for _, code := range codes {
		code = regexp.QuoteMeta(code)
		assert.Regexp(t, `(?m)^\| (126, )?`+code+`[ ,]`, p.readme)
		assert.Regexp(t, `(?m)^\.It `+code+`$`, p.man)
		assert.Regexp(t, `(?m)^//\t(126, )?`+code+`[ ,]`, p.supervisor)
		assert.Regexp(t, `(?m)\b`+code, p.help[strings.Index(p.help, "Exit codes"):])
	}
	told := map[string][]string{} // facts by name
	for _, args := range [][]string{
		{"--wait", "within=0.01s file:///no/such", "app"},
		{"--pre-start", "false", "app"},
		{"/no/such/app"},
		{"--ready", "within=0.01s file:///no/such", "sleep", "1000"},
		{"--post-start", "false", "sleep", "1000"},
		{"--post-start", "sh -c 'kill -TERM $PPID'", "--grace", "20s", "--drain", "env", "sleep", "1000"},
		{"true"},
	} {
		r := world{env: []string{"PATH=" + os.Getenv("PATH")}}.start(t, append([]string{"--quiet", "--post-stop", "env"}, args...)...)
		r.code()
		for _, m := range regexp.MustCompile(`(?m)env\| (USHER_\w+)=(.*)$`).FindAllStringSubmatch(r.stderr.rest(), -1) {
			told[m[1]] = append(told[m[1]], m[2])
		}
	}
	assert.ElementsMatch(t, words(tables["facts for hooks"]), slices.Collect(maps.Keys(told)))
	assert.Equal(t, words(tables["reasons"]), slices.Compact(told["USHER_REASON"])) // drain and post-stop have the same
	for _, fact := range words(tables["facts for hooks"]) {
		assert.Contains(t, p.readme, "`"+fact+"`")
		assert.Contains(t, p.man, ".It Ev "+fact+"\n")
	}
	reasons := words(tables["reasons"])
	assert.Contains(t, p.readme, "`USHER_REASON` ("+strings.Join(reasons, ", ")+")")
	_, man, _ := strings.Cut(p.man, ".It Ev USHER_REASON\n")
	man, _, _ = strings.Cut(man, "\nwhat brought the end")
	assert.Equal(t, reasons, regexp.MustCompile(`[a-z][a-z-]+`).FindAllString(strings.Replace(man, "\nor\n.Cm", "", 1), -1))
}
