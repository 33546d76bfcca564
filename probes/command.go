package probes

import (
	"context"
	"errors"
	"strings"
)

// A commandProbe is ready when its command exits 0.
type commandProbe struct {
	name string
	argv []string
}

func (c *commandProbe) Ask(ctx context.Context, a Attempt) error {
	if a.Run == nil {
		return errors.New("commands cannot be run here")
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	err := a.Run(ctx, Command{Name: c.name, Argv: c.argv, HookVars: a.HookVars})
	if err != nil && ctx.Err() != nil {
		// Run terminates the command when ctx ends, so err is not the command's own result.
		return context.Cause(ctx)
	}
	return err
}

// buildCommand builds the probe of a command. No shell runs the command, so buildCommand rejects
// what only a shell understands: unquoted characters such as | and $, and several lines.
// Messages do not show the arguments, which may be secret.
func buildCommand(p *targetParser) Probe {
	p.name = CommandName(p.argv[0].text)
	if p.name == "" {
		p.addError("the command is empty: write its name")
	}
	var found string
	for _, w := range p.argv {
		for _, c := range w.unquotedChars("$&|;<>*?`()") {
			if !strings.ContainsRune(found, c) {
				found += " " + string(c)
			}
		}
		if w.startsUnquoted("~#") && !strings.Contains(found, w.text[:1]) {
			found += " " + w.text[:1]
		}
	}
	if found != "" {
		p.addError("unquoted%s in the command %s: no shell is used: write sh -c '…', or quote it", found, p.name)
	}
	if p.argv[len(p.argv)-1].line != p.argv[0].line {
		p.addError("the command %s has several lines: no shell is used: write sh -c '…', or end each line with a backslash", p.name)
	}
	c := &commandProbe{name: p.name}
	if p.target.Name != "" {
		c.name = p.target.Name
	}
	for _, w := range p.argv {
		c.argv = append(c.argv, w.text)
	}
	return c
}
