package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/usher-init/usher/probes"
)

// usageText is the text of --help without the tables.
//
//go:embed usage.txt
var usageText string

// usage returns the text that --help prints: usage.txt with the tables of flags,
// targets and options.
func usage() string {
	return strings.NewReplacer(
		"{flags}\n", formatFlags(),
		"{targets}\n", formatTargets(),
		"{options}\n", formatOptions(),
		"{without variable}", joinWords(flagsWith(noVariable)),
	).Replace(usageText)
}

// usageWidth is the width of --help in columns.
const usageWidth = 100

func formatFlags() string {
	var b strings.Builder
	section := ""
	for _, f := range flags {
		if f.section != section {
			section = f.section
			fmt.Fprintf(&b, "\n%s\n", section)
		}
		name := "--" + f.name
		if f.short != "" {
			name = "-" + f.short + ", " + name
		}
		if f.arg != "" {
			name += " " + f.arg
		}
		if f.is(repeatable) {
			name += " *"
		}
		help := f.help
		if f.is(needsGrace) {
			help += "; needs `--grace`"
		}
		writeRow(&b, 26, name, help)
	}
	return b.String() + "\n"
}

func formatTargets() string {
	var b strings.Builder
	for _, group := range groupKinds() {
		var forms []string
		for i, k := range group {
			if form := k.Form; i == 0 || afterScheme(form) != afterScheme(group[0].Form) {
				forms = append(forms, form)
			} else {
				forms = append(forms, k.Name+"://...")
			}
		}
		writeRow(&b, 44, strings.Join(forms, ", "), group[0].Ready)
	}
	return b.String()
}

// groupKinds groups adjacent kinds of targets that have the same text in the field Ready.
func groupKinds() (groups [][]probes.KindDoc) {
	for _, k := range probes.Kinds() {
		last := len(groups) - 1
		if last >= 0 && groups[last][0].Ready == k.Ready {
			groups[last] = append(groups[last], k)
			continue
		}
		groups = append(groups, []probes.KindDoc{k})
	}
	return groups
}

func afterScheme(form string) string {
	_, rest, _ := strings.Cut(form, "://")
	return rest
}

func formatOptions() string {
	var b strings.Builder
	for _, o := range probes.Options() {
		writeRow(&b, 38, fmt.Sprintf("%-22s%s", o.Name+"="+o.Value, formatScope(o)), o.Meaning)
	}
	return b.String()
}

// formatScope returns in short which targets accept the option: the kinds ("http, https" or
// "TLS"), or the uses ("--wait", "hooks", "probes"), or "all".
func formatScope(o probes.OptionDoc) string {
	switch {
	case slices.Contains(o.Kinds, "https") && !slices.Contains(o.Kinds, "http"):
		return "TLS" // short for many kinds; usher(1) lists them under ca=
	case len(o.Kinds) > 0:
		return strings.Join(o.Kinds, ", ")
	case len(o.Uses) == 0:
		return "all"
	case len(o.Uses) == 1:
		return o.Uses[0].String()
	case o.Uses[0].Hook():
		return "hooks"
	}
	return "probes"
}

// writeRow writes a row of two texts. The second text (right) begins at the given column and is
// wrapped. If the first text (left) is too wide for that, it gets lines of its own.
func writeRow(b *strings.Builder, column int, left, right string) {
	if len(left)+3 > column {
		for _, line := range wrap(left, usageWidth-2) {
			fmt.Fprintf(b, "  %s\n", line)
		}
		left = ""
	}
	for _, line := range wrap(strings.ReplaceAll(right, "`", ""), usageWidth-column) {
		fmt.Fprintf(b, "%-*s%s\n", column, "  "+left, line)
		left = ""
	}
}

// wrap breaks a text at spaces into lines of at most width bytes. A longer word gets a line of
// its own.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Split(text, " ") {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// joinWords joins words with commas and "and": a, b and c. There must be at least two words.
func joinWords(words []string) string {
	last := len(words) - 1
	return strings.Join(slices.Concat(words[:last-1], []string{words[last-1] + " and " + words[last]}), ", ")
}
