package main

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// contract reads the tables of testdata/contract.txt. The key of a table is its first line
// up to the first colon or comma.
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

// words returns the words of all rows.
func words(rows []string) []string { return strings.Fields(strings.Join(rows, " ")) }

// pages holds the texts that describe usher: --help, usher(1), the README and the
// documentation of package supervisor. They are written by hand, except for the parts that
// help.go and docs_test.go make from tables.
type pages struct{ help, man, readme, supervisor string }

func readPages(t *testing.T) pages {
	t.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	return pages{usage(), read("usher.1"), read("../../README.md"), read("../../supervisor/doc.go")}
}

// ---- the flag table

// samples holds a valid value for each placeholder in the flag table. A switch has the
// placeholder "".
var samples = map[string]string{"TARGET": "true", "D": "1s", "SIG": "QUIT", "ADDR": ":8086", "FROM:TO": "HUP:USR1",
	"N,...": "143", "text|json": "text", "FILE": "/x", "PATH": "/x", "": "true"}

func (f *flagRow) sample(t *testing.T) string {
	t.Helper()
	require.Contains(t, samples, f.arg)
	return "--" + f.name + "=" + samples[f.arg]
}

// parseOptions treats each flag, except --help and --version, according to its traits in the
// flag table, and the flag sets the field of the config that the table names.
func TestFlagTableMatchesTheProgram(t *testing.T) {
	fails := func(text string, args ...string) bool {
		_, err := parseOptions(args, nil)
		return err != nil && strings.Contains(err.Error(), text)
	}
	for _, f := range flags {
		name, sample := "--"+f.name, f.sample(t)
		otherForm := f.name == "probe" || f.name == "install"
		if f.name == "help" || f.name == "version" {
			continue
		}
		grace := "--grace=9s"
		if f.name == "grace" || f.name == "exec" {
			grace = "--verbose"
		}
		if f.name != "exec" {
			assert.Equal(t, f.is(needsGrace), fails(name+" needs --grace", sample, "app"), name)
			assert.Equal(t, f.is(actsAfter), fails(name+" cannot be combined with --exec", "--exec", sample, "app"), name)
			assert.Equal(t, f.is(repeatable), !fails(name+": given 2 times", sample, sample, grace, "app"), name)
		}
		if !otherForm {
			assert.Equal(t, f.is(needsApp), fails(name+": needs an app", "--wait=true", sample), name)
			assert.Equal(t, f.is(withAnything), !fails(name+": cannot be combined with --probe", "--probe=true", sample), name)
			misplaced := fails(name+": takes no target", "--"+f.name+"=tcp://db:5432", grace, "app")
			assert.Equal(t, f.is(anyText), !misplaced, name)
		}
		_, value, _ := strings.Cut(sample, "=")
		o, _ := parseOptions([]string{"app"}, []string{f.variable() + "=" + value})
		assert.Equal(t, f.is(noVariable), len(o.config.Env) == 1, name)
		if f.field != "" {
			with, err := parseOptions([]string{sample, grace, "app"}, nil)
			require.NoError(t, err, name)
			without, _ := parseOptions([]string{grace, "app"}, nil)
			field := func(o options) any { return reflect.ValueOf(o.config).FieldByName(f.field).Interface() }
			assert.NotEqual(t, field(without), field(with), "%s does not set %s", name, f.field)
		}
	}
}

// The texts of --help and of the tables of flags, targets and options name only flags that
// exist. The defaults in these texts are those of the program.
func TestTextsOfTheTablesMatchTheProgram(t *testing.T) {
	texts := []string{strings.Replace(usage(), "app --port 8080", "app", 1)}
	for _, f := range flags {
		texts = append(texts, f.help, f.more)
		assert.NotContains(t, f.help, ". ", "--%s: further sentences belong in more", f.name)
		assert.False(t, strings.HasSuffix(f.help, "."), f.name)
		assert.True(t, f.more == "" || strings.HasSuffix(f.more, "."), f.name)
	}
	for _, k := range probes.Kinds() {
		texts = append(texts, k.Ready, k.Details)
	}
	for _, o := range probes.Options() {
		texts = append(texts, o.Meaning, o.Details)
	}
	for _, text := range texts {
		for _, m := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
			assert.NotNil(t, findFlag(m[1]), "--%s in %q", m[1], text)
		}
		assert.Zero(t, strings.Count(text, "`")%2, text)
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }
	assert.Contains(t, findFlag("wait-timeout").help, "("+seconds(parsed(t, []string{"app"}, nil).config.WaitTimeout)+")")
	assert.Contains(t, findFlag("stop-reserve").help, "at most "+seconds(supervisor.DefaultReserve))
	assert.Contains(t, findFlag("termination-log").help, "default: "+defaultTerminationLog)
	assert.Contains(t, findFlag("probe").help, "for "+seconds(probes.OnceTimeout)+" at most")
	timeout := optionDoc(t, "timeout").Meaning
	assert.Contains(t, timeout, "attempt ("+seconds(probes.ProbeTimeout)+", `--probe` "+seconds(probes.OnceTimeout)+")")
	assert.Contains(t, timeout, "`--post-stop` "+seconds(probes.EndTimeout))
	assert.Contains(t, optionDoc(t, "interval").Meaning, "("+seconds(probes.DefaultInterval)+")")
}

// ---- the tables of targets and options

func optionDoc(t *testing.T, name string) probes.OptionDoc {
	all := probes.Options()
	i := slices.IndexFunc(all, func(o probes.OptionDoc) bool { return o.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return all[i]
}

// optionSamples holds a valid value for each option of a target. If the option needs a second
// one, as cert= needs key=, the second one follows the value.
var optionSamples = map[string]string{
	"timeout": "2s", "name": "x", "interval": "500ms", "within": "30s", "optional": "30s", "successes": "2", "retries": "2",
	"method": "POST", "status": "204", "header": "'K: V'", "body": "x", "match": "x",
	"ca": "/x", "cert": "/x key=/x", "key": "/x cert=/x", "server-name": "x", "insecure": "true", "send": "x", "expect": "x", "gone": "true",
}

// An option is accepted for the kinds of targets and the uses that its row of probes.Options
// lists, and refused for all others.
func TestOptionTableMatchesTheProgram(t *testing.T) {
	parser := probes.Parser{LookupEnv: func(string) (string, bool) { return "memcached://cache", true }}
	for _, o := range probes.Options() {
		require.Contains(t, optionSamples, o.Name)
		for _, k := range probes.Kinds() {
			for use := probes.ForWait; use <= probes.ForProbe; use++ {
				_, err := parser.Parse(o.Name+"="+optionSamples[o.Name]+" "+strings.Trim(exampleWithoutOptions(k), "'"), use)
				allowed := (o.Kinds == nil || slices.Contains(o.Kinds, k.Name)) && (o.Uses == nil || slices.Contains(o.Uses, use))
				assert.Equal(t, allowed, err == nil, "%s= of %s for %s: %v", o.Name, k.Name, use, err)
			}
		}
	}
}

// exampleWithoutOptions returns the example of a kind of target without its options.
func exampleWithoutOptions(k probes.KindDoc) string {
	if k.Name == "command" {
		return k.Example
	}
	words := strings.Fields(k.Example)
	return words[len(words)-1]
}

// ---- the texts that are written by hand

// The program and the pages agree with testdata/contract.txt about the phases, the exit
// codes, the environment variables of hooks, and the values of USHER_REASON.
func TestPagesMatchTheProgram(t *testing.T) {
	tables, p := contract(t), readPages(t)
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
	got := map[string][]string{} // values of the hooks' variables, by name
	for _, args := range [][]string{
		{"--wait", "within=0.01s file:///no/such", "app"},
		{"--pre-start", "false", "app"},
		{"/no/such/app"},
		{"--ready", "within=0.01s file:///no/such", "sleep", "1000"},
		{"--post-start", "false", "sleep", "1000"},
		{"--post-start", "sh -c 'kill -TERM $PPID'", "--grace", "20s", "--drain", "env", "sleep", "1000"},
		{"true"},
	} {
		r := launcher{env: []string{"PATH=" + os.Getenv("PATH")}}.usher(t, append([]string{"--quiet", "--post-stop", "env"}, args...)...)
		r.code()
		for _, m := range regexp.MustCompile(`(?m)env\| (USHER_\w+)=(.*)$`).FindAllStringSubmatch(r.stderr.rest(), -1) {
			got[m[1]] = append(got[m[1]], m[2])
		}
	}
	assert.ElementsMatch(t, words(tables["variables of hooks"]), slices.Collect(maps.Keys(got)))
	assert.Equal(t, words(tables["reasons"]), slices.Compact(got["USHER_REASON"])) // Compact drops a duplicate: the drain hook and the post-stop hook of one run have the same reason
	for _, variable := range words(tables["variables of hooks"]) {
		assert.Contains(t, p.readme, "`"+variable+"`")
		assert.Contains(t, p.man, ".It Ev "+variable+"\n")
	}
	reasons := words(tables["reasons"])
	assert.Contains(t, p.readme, "`USHER_REASON` ("+strings.Join(reasons, ", ")+")")
	_, man, _ := strings.Cut(p.man, ".It Ev USHER_REASON\n")
	man, _, _ = strings.Cut(man, "\nthe reason of the shutdown")
	assert.Equal(t, reasons, regexp.MustCompile(`[a-z][a-z-]+`).FindAllString(strings.Replace(man, "\nor\n.Cm", "", 1), -1))
}
