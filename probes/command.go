package probes

import (
	"context"
	"errors"
	"strings"
)

// A commandProbe says yes when its command exits 0.
type commandProbe struct {
	name string
	argv []string
}

func (c *commandProbe) Ask(ctx context.Context, a Attempt) error {
	if a.Run == nil {
		return errors.New("commands cannot be run here")
	}
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	err := a.Run(ctx, Command{Name: c.name, Argv: c.argv, Facts: a.Facts})
	if err != nil && ctx.Err() != nil {
		// What the command said while it was being ended is not an answer.
		return context.Cause(ctx)
	}
	return err
}

// buildCommand refuses what a shell would act on. The words themselves stay out
// of the messages, because an argument may be a secret.
func buildCommand(r *reading) Probe {
	r.name = CommandName(r.argv[0].text)
	if r.name == "" {
		r.mistake("the command is empty: write its name")
	}
	var found string
	for _, w := range r.argv {
		for _, c := range w.unquoted("$&|;<>*?`()") {
			if !strings.ContainsRune(found, c) {
				found += " " + string(c)
			}
		}
		if w.begins("~#") && !strings.Contains(found, w.text[:1]) {
			found += " " + w.text[:1]
		}
	}
	if found != "" {
		r.mistake("unquoted%s in the command %s: no shell is used: write sh -c '…', or quote it", found, r.name)
	}
	if r.argv[len(r.argv)-1].line != r.argv[0].line {
		r.mistake("the command %s has several lines: no shell is used: write sh -c '…', or end each line with a backslash", r.name)
	}
	c := &commandProbe{name: r.name}
	if r.target.Name != "" {
		c.name = r.target.Name
	}
	for _, w := range r.argv {
		c.argv = append(c.argv, w.text)
	}
	return c
}
