package probes

import "strings"

// A Parser parses targets. The zero value rejects env:NAME.
type Parser struct {
	// LookupEnv returns the value of an environment variable, and whether it is set.
	LookupEnv func(name string) (value string, found bool)
}

var envName = lazyRegexp(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// takeEnv takes the target env:NAME. The value of the variable NAME is one URL. It is not
// split into words, because a password may contain spaces and quotes.
//
// The value may be secret. Messages show no part of it, except a scheme that usher knows, and
// the log calls the target env:NAME (unless it has name=). Messages contain p.scheme, so takeEnv
// sets it to the name of the kind of target, and not to the scheme in the value, in which any
// text may follow a + (as in postgresql+asyncpg).
func (p *targetParser) takeEnv(words []word) (kind, bool) {
	p.rejectExtraWords(words)
	name := strings.TrimPrefix(words[0].text, "env:")
	switch {
	case !envName().MatchString(name): // the message does not show name: if a shell has expanded env:$DATABASE_URL, name is the variable's value
		p.addError("env: is not followed by the name of a variable: write for example env:DATABASE_URL, without a $")
		return kind{}, false
	case p.lookupEnv == nil:
		p.addError("env:%s: there are no environment variables here", name)
		return kind{}, false
	}
	value, found := p.lookupEnv(name)
	value = strings.TrimSpace(value) // a value that comes from a file often ends with a newline
	switch {
	case !found:
		p.addError("env:%s: the variable is not set", name)
		return kind{}, false
	case value == "":
		p.addError("env:%s: the variable is empty", name)
		return kind{}, false
	case strings.Contains(value, "\n"):
		p.addError("env:%s: the value of the variable has several lines: write one URL into each variable, and one target for each", name)
		return kind{}, false
	case strings.ContainsAny(value[:1], `"'`):
		// The quotes are in the value, because docker run --env-file and some versions of
		// compose do not remove them.
		p.addError("env:%s: the value of the variable begins with a quote, which is a part of it: remove the quotes where the variable is set", name)
		return kind{}, false
	}
	m := schemePrefix().FindStringSubmatch(value)
	var k kind
	known := false
	if m != nil {
		k, known = findScheme(strings.ToLower(m[1]))
	}
	if !known {
		if scheme, advice := adviceFor(value); advice != "" {
			p.addError("env:%s: unknown scheme %s: %s", name, scheme, advice)
			return kind{}, false
		}
		p.addError("env:%s: the value of the variable is not a URL of a known scheme (%s): options are written before env:, and a command is not possible", name, schemeList())
		return kind{}, false
	}
	p.env, p.hidesHosts = name, true
	p.scheme, p.written, p.rest = k.name, strings.ToLower(m[1]), value[len(m[0]):]
	return k, true
}
