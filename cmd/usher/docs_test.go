package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
)

// Parts of the pages are made from the flag table and the tables of package probes: in
// usher(1) the lists of flags, targets and options, in the README the table of targets. The
// list of differences from other inits in usher(1) comes from the table of TestOtherInits.
// "make docs" runs this test with -update, which writes these parts.
func TestPagesAreMadeFromTheTables(t *testing.T) {
	for _, page := range []struct {
		file, begin, end string
		parts            map[string]func() string
	}{
		{"../../README.md", "<!-- %s: written by make docs -->\n", "<!-- end of %s -->\n",
			map[string]func() string{"targets": markdownOfTargets}},
		{"usher.1", ".\\\" %s: written by make docs\n", ".\\\" end of %s\n",
			map[string]func() string{"flags": mdocOfFlags, "targets": mdocOfTargets, "options": mdocOfOptions, "other inits": mdocOfOtherInits}},
	} {
		text, err := os.ReadFile(page.file)
		require.NoError(t, err)
		want := string(text)
		for name, render := range page.parts {
			before, rest, found := strings.Cut(want, fmt.Sprintf(page.begin, name))
			_, after, ended := strings.Cut(rest, fmt.Sprintf(page.end, name))
			require.True(t, found && ended, "%s has no place for %s", page.file, name)
			want = before + fmt.Sprintf(page.begin, name) + render() + fmt.Sprintf(page.end, name) + after
		}
		if *update {
			require.NoError(t, os.WriteFile(page.file, []byte(want), 0o644))
			continue
		}
		assert.Equal(t, want, string(text), "%s is out of date: run make docs", page.file)
	}
}

// ---- Markdown

func markdownRow(cells ...string) string {
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func markdownOfTargets() string {
	var b strings.Builder
	b.WriteString("| target | ready when |\n|---|---|\n")
	for _, group := range groupKinds() {
		var forms []string
		for i, k := range group {
			form := "`" + k.Form + "`"
			if k.Name == "command" {
				form = k.Form
			} else if i > 0 && afterScheme(k.Form) == afterScheme(group[0].Form) {
				form = "`" + k.Name + "://`"
			}
			forms = append(forms, form)
		}
		b.WriteString(markdownRow(strings.Join(forms, ", "), group[0].Ready))
	}
	return b.String()
}

// ---- mdoc(7)

func mdocOfFlags() string {
	var b strings.Builder
	section := ""
	for _, f := range flags {
		if f.section != section {
			if section != "" {
				b.WriteString(".El\n")
			}
			section = f.section
			fmt.Fprintf(&b, ".Ss %s\n.Bl -tag -width Ds\n", section)
		}
		b.WriteString(".It Fl ")
		if f.short != "" {
			b.WriteString(f.short + " , ")
		}
		b.WriteString("-" + f.name)
		if f.arg != "" {
			b.WriteString(" Ar " + f.arg)
		}
		text := sentence(f.help) + " " + f.more
		if f.is(repeatable) {
			text += " May be repeated."
		}
		if f.is(needsGrace) {
			text += " Needs `--grace`."
		}
		if f.is(actsAfter) {
			text += " Cannot be combined with `--exec`."
		}
		b.WriteString("\n" + mdoc(text))
	}
	fmt.Fprintf(&b, ".El\n.Pp\nEvery flag except\n.Fl %s\nhas an environment variable; see\n.Sx ENVIRONMENT .\n",
		strings.NewReplacer(", --", " , -", " and --", "\nand\n.Fl -").Replace(strings.TrimPrefix(joinWords(flagsWith(noVariable)), "-")))
	return b.String()
}

func mdocOfTargets() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, k := range probes.Kinds() {
		fmt.Fprintf(&b, ".It Cm %s\n%s.Dl --wait %s\n", mdocQuote(k.Form), mdoc("Ready when "+k.Ready+". "+k.Details), mdocEscape(k.Example))
	}
	return b.String() + ".El\n"
}

func mdocOfOptions() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, o := range probes.Options() {
		text := sentence(o.Meaning) + " " + o.Details
		if o.Repeatable {
			text += " May be repeated."
		}
		if only := formatScope(o); only == "--wait" {
			text += " Only for `--wait`."
		} else if only != "all" {
			text += " Only for " + strings.ReplaceAll(only, ", ", " and ") + "."
		}
		fmt.Fprintf(&b, ".It Cm %s= Ns Ar %s\n%s", o.Name, mdocQuote(o.Value), mdoc(text))
	}
	return b.String() + ".El\n"
}

func sentence(text string) string {
	first := []rune(text)
	first[0] = unicode.ToUpper(first[0])
	return string(first) + "."
}

var (
	sentenceEnd = regexp.MustCompile("\\. ([A-Z`])")
	// codeSpan matches text in backquotes, with the characters before and after it up to a
	// space, which are mostly punctuation.
	codeSpan = regexp.MustCompile("([^\\s`]*)`([^`]*)`([^\\s`]*)")
)

// mdoc renders a text in mdoc(7). Each sentence gets its own line. Each text in backquotes
// becomes a macro on its own line.
func mdoc(text string) string {
	var lines []string
	for _, line := range strings.Split(sentenceEnd.ReplaceAllString(strings.Join(strings.Fields(text), " "), ".\n$1"), "\n") {
		for line != "" {
			at := codeSpan.FindStringSubmatchIndex(line)
			if at == nil {
				lines = append(lines, mdocEscape(line))
				break
			}
			if before := strings.TrimSpace(line[:at[0]]); before != "" {
				lines = append(lines, mdocEscape(before))
			}
			open, code, closing := line[at[2]:at[3]], line[at[4]:at[5]], line[at[6]:at[7]]
			macro := mdocMacro(code)
			if open != "" {
				macro = "Pf " + open + " " + macro
			}
			for _, c := range closing {
				macro += " " + string(c)
			}
			lines = append(lines, "."+macro)
			line = strings.TrimSpace(line[at[1]:])
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func mdocMacro(code string) string {
	switch {
	case strings.HasPrefix(code, "--"):
		return "Fl " + code[1:]
	case strings.HasPrefix(code, "/"):
		return "Pa " + code
	case strings.HasSuffix(code, "="), strings.HasSuffix(code, "://"):
		return "Cm " + code
	}
	return "Ql " + mdocQuote(code)
}

func mdocEscape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "^", `\(ha`, "`", `\(ga`).Replace(text)
}

// mdocQuote quotes a text as one argument of a macro.
func mdocQuote(text string) string {
	text = strings.ReplaceAll(mdocEscape(text), `"`, `\(dq`)
	if strings.ContainsAny(text, " ") || slices.Contains([]string{",", ";", ":"}, text) {
		return `"` + text + `"`
	}
	return text
}

// Each example in the table of targets is a target of its kind. A shell splits the example
// into arguments, as on a user's command line.
func TestExamplesOfTargetsAreTargets(t *testing.T) {
	for _, k := range probes.Kinds() {
		out := outputOf(t, "sh", "-c", `printf '%s\0' --wait `+k.Example)
		o, err := parseOptions(strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), []string{"DATABASE_URL=postgres://db"})
		require.NoError(t, err, k.Example)
		require.Len(t, o.config.Wait, 1, k.Example)
		if k.Name != "env" { // not tested for env:NAME, because that target has the kind of the URL in the variable
			assert.Equal(t, k.Name, o.config.Wait[0].Kind)
		}
	}
}
