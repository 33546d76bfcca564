package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// options holds the values of the command line and the environment.
type options struct {
	config  supervisor.Config
	json    bool // --log json
	quiet   bool
	verbose bool

	health         string // address to listen on; "": none
	terminationLog string // path of the termination log; "": the default
	notifySocket   string // address of the service manager's socket; "": usher does not use it
	notifyErr      error  // why NOTIFY_SOCKET cannot be used; only a warning, because the service manager sets the variable, not the user

	// otherForm is true for --install and --probe, even if their values are wrong.
	otherForm bool
	help      bool
	version   bool
	install   string
	probe     []probes.Target
	plan      bool

	env []string // usher's environment, for targets env:NAME
}

func (o *options) parseTarget(text string, use probes.Use) (probes.Target, error) {
	lookup := func(name string) (string, bool) {
		for _, entry := range o.env { // if there are several entries for a name, the first one counts, as for getenv(3)
			if value, found := strings.CutPrefix(entry, name+"="); found {
				return value, true
			}
		}
		return "", false
	}
	return probes.Parser{LookupEnv: lookup}.Parse(text, use)
}

// parseOptions parses the command line, then the environment variables of the flags
// that the command line does not contain. Its error has one line for each mistake, without
// secrets. It does not check the values after an unknown flag (see optionReader.lost).
//
// --help and --version take effect before anything is checked, so that they work even if
// another flag or a variable is wrong. dockerd needs this: it runs its init with --version
// and waits until the init has exited, and dockerd's environment may contain USHER_WAIT.
func parseOptions(args, env []string) (options, error) {
	r := newOptionReader(args)
	command, dashes := r.readArgs()
	if help, version := r.isTrue("help"), r.isTrue("version"); help || version {
		return options{help: help, version: version}, nil
	}
	for _, form := range []string{"probe", "install"} {
		if r.given[form] {
			return r.otherForm(form, command, dashes, env), r.errs.ErrorOrNil()
		}
	}
	rest := r.readEnv(env)
	r.checkCommand(command, dashes)

	o := options{env: env}
	o.config.WaitTimeout = defaultWaitTimeout
	r.evaluate(&o, func(*flagRow) bool { return true })
	o.config.Command, o.config.Env = command, rest
	r.checkVerbosity(o)
	r.validate(&o.config)
	o.notifySocket, o.config.Env, o.notifyErr = readNotifySocket(&o.config)
	return o, r.errs.ErrorOrNil()
}

// An optionReader collects the values of each flag, and the errors.
type optionReader struct {
	pflags *pflag.FlagSet
	args   []string           // the arguments after the last flag that pflag has parsed
	values map[string][]value // the values of each flag, in the order in which they were given
	given  map[string]bool    // flags on the command line, even with a wrong or missing value
	wrong  map[string]bool    // flags whose value could not be parsed, or that have too many values
	// lost is true after an unknown flag. The next argument may be the value of that flag
	// or the command, so the remaining values and the command are not checked. Of the
	// remaining flags, only --help, --version, --install and --probe still have an effect.
	lost bool
	errs *multierror.Error
}

// A value is the text that was given for a flag, and its origin for errors: "--wait
// (2 of 3)" or "USHER_WAIT line 2".
type value struct{ text, origin string }

func newOptionReader(args []string) *optionReader {
	r := &optionReader{
		pflags: pflag.NewFlagSet("usher", pflag.ContinueOnError),
		args:   args,
		values: map[string][]value{},
		given:  map[string]bool{},
		wrong:  map[string]bool{},
		errs:   &multierror.Error{ErrorFormat: joinLines},
	}
	r.pflags.SetInterspersed(false) // do not parse the flags after the command, because they are for the app
	for i := range flags {
		f := &flags[i]
		p := r.pflags.VarPF(rawValue{r, f}, f.name, f.short, f.help)
		if f.arg == "" {
			p.NoOptDefVal = "true"
		}
	}
	return r
}

func joinLines(errs []error) string { return errors.Join(errs...).Error() }

func (r *optionReader) addError(format string, a ...any) {
	r.errs.Errors = append(r.errs.Errors, fmt.Errorf(format, a...))
}

// A rawValue is the pflag.Value of a flag. It stores the text unparsed, because pflag
// stops at the first error, but usher reports all of them.
type rawValue struct {
	reader *optionReader
	flag   *flagRow
}

func (v rawValue) String() string { return "" }
func (v rawValue) Type() string   { return "value" }

// Set is called by pflag for each occurrence of the flag.
func (v rawValue) Set(text string) error {
	r, f := v.reader, v.flag
	word, found := r.advance(func(word string) bool {
		return word == "--"+f.name || strings.HasPrefix(word, "--"+f.name+"=") ||
			f.short != "" && strings.HasPrefix(word, "-"+f.short)
	})
	if !found {
		return nil // pflag took a letter of an unknown flag for this flag, such as the h of -xh
	}
	if !strings.HasPrefix(word, "--") && word != "-"+f.short { // an argument such as -health, which pflag takes for -h
		r.unknownFlag(word)
		return nil
	}
	r.given[f.name] = true
	if f.arg != "" && word == "--"+f.name {
		// Treat a value that begins with two dashes, or is -h, as a flag. In
		// "--wait --grace 25s" the target was probably forgotten, and "--wait --help" must
		// print the help.
		if strings.HasPrefix(text, "--") || text == "-h" {
			r.needsValue(f)
			return errNoValue
		}
		r.args = r.args[1:]
	}
	if !r.lost || f.name == "help" || f.name == "version" {
		r.values[f.name] = append(r.values[f.name], value{text, "--" + f.name})
	}
	return nil
}

// errNoValue stops pflag when pflag has taken the next flag for a value.
var errNoValue = errors.New("no value")

func (r *optionReader) needsValue(f *flagRow) {
	if !r.lost {
		r.addError("--%s: needs a value", f.name)
	}
}

// advance removes the arguments up to and including the first one that matches, and returns
// that one. pflag parses the arguments in order, but does not say which one it has just parsed,
// so advance searches for it. pflag has skipped the arguments before it without an error: flags
// that begin with -test., which pflag always ignores for "go test", and, if r.lost is true,
// unknown flags and their values. If r.lost is not true yet, advance reports the first skipped
// argument as an unknown flag.
func (r *optionReader) advance(match func(word string) bool) (word string, found bool) {
	i := slices.IndexFunc(r.args, match)
	if i < 0 {
		return "", false
	}
	if i > 0 {
		r.unknownFlag(r.args[0])
	}
	word, r.args = r.args[i], r.args[i+1:]
	return word, true
}

// readArgs parses the flags. It returns the unchanged command that follows the flags. dashes
// reports whether "--" was between the flags and the command. readArgs calls pflag again
// after each error, if the remaining arguments can still be parsed. The errors of pflag are
// not printed, because they contain the values.
func (r *optionReader) readArgs() (command []string, dashes bool) {
	defer r.numberValues()
	for {
		err := r.pflags.Parse(r.args)
		var unknown *pflag.NotExistError
		var syntax *pflag.InvalidSyntaxError
		var missing *pflag.ValueRequiredError
		switch {
		case err == nil:
			command, dashes = r.pflags.Args(), r.pflags.ArgsLenAtDash() >= 0
			if flagsLeft := len(r.args) - len(command); flagsLeft > 1 || flagsLeft == 1 && !dashes {
				r.unknownFlag(r.args[0])
			}
			return command, dashes
		case errors.Is(err, errNoValue):
		case errors.As(err, &missing):
			f := findFlag(missing.GetSpecifiedName())
			r.given[f.name] = true
			r.needsValue(f)
			return nil, false
		case errors.As(err, &syntax):
			r.unknownFlag(syntax.GetSpecifiedFlag())
			r.advance(func(word string) bool { return word == syntax.GetSpecifiedFlag() })
		case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
			r.unknownFlag("-" + unknown.GetSpecifiedShortnames())
		case errors.As(err, &unknown):
			r.unknownLongFlag("--" + unknown.GetSpecifiedName())
		default: // pflag returns no other type of error
			r.addError("cannot read the command line")
			return nil, false
		}
	}
}

// unknownLongFlag reports a flag that pflag does not know. It may be a known flag with its
// value in the same argument, for example --drain:CMD, or "--drain CMD" as one item of a
// YAML list.
func (r *optionReader) unknownLongFlag(word string) {
	if i := strings.IndexAny(word, ": \t\n"); i > 0 {
		if f := findFlag(word[2:i]); f != nil {
			r.addError("--%s: its value is a separate argument, or follows =: write --%[1]s=…", f.name)
			r.given[f.name] = true
			r.advance(func(arg string) bool { return strings.HasPrefix(arg, word) })
			return
		}
	}
	r.unknownFlag(word)
}

// unknownFlag reports a flag that does not exist, and suggests the flag that was probably
// meant. From then on pflag ignores unknown flags.
func (r *optionReader) unknownFlag(word string) {
	if r.lost {
		return
	}
	r.lost = true
	r.pflags.ParseErrorsAllowlist.UnknownFlags = true
	word, _, _ = strings.Cut(word, "=")
	switch nearest := findNearestFlag(strings.TrimLeft(word, "-")); {
	case nearest != nil:
		r.addError("%s: no such flag: did you mean --%s?", redact(word, len(word)), nearest.name)
	case tiniFlags[word] != "":
		r.addError("%s: no such flag: write %s", word, tiniFlags[word])
	case !strings.HasPrefix(word, "--"): // show only one letter, because the following letters may be a secret value
		r.addError("%s: no such flag: only -h has a short form", redact(word, 2))
	default:
		r.addError("%s: no such flag", redact(word, 40))
	}
}

// tiniFlags maps some short flags of tini, and -r of dumb-init, to the flags of usher.
var tiniFlags = map[string]string{"-g": "--group", "-e": "--success-exit", "-v": "--verbose", "-r": "--rewrite"}

// findNearestFlag returns the flag that is nearest to name, or nil. The distance is at most
// two, and at most half the number of letters in name.
func findNearestFlag(name string) (nearest *flagRow) {
	best := min(2, len(name)/2) + 1
	for i := range flags {
		if d := distance(name, flags[i].name); d < best {
			best, nearest = d, &flags[i]
		}
	}
	return nearest
}

// distance returns the Levenshtein distance of a and b: the minimum number of letters to
// add, drop or replace.
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a) // a is too long to be similar to b; without this check an argument of megabytes would take long
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// redact returns the beginning of an unknown argument: at most maxLength characters, up to
// the first character that a flag's name cannot contain. The rest may be a secret.
func redact(word string, maxLength int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	keep := min(maxLength, len(word)-len(strings.TrimLeft(word, letters)))
	if keep < len(word) {
		return word[:keep] + "…"
	}
	return word
}

// numberValues numbers the values of a repeated flag for errors: "--wait (2 of 3)".
func (r *optionReader) numberValues() {
	for name, values := range r.values {
		if len(values) == 1 {
			continue
		}
		for i := range values {
			values[i].origin = fmt.Sprintf("--%s (%d of %d)", name, i+1, len(values))
		}
	}
}

// readEnv reads the variables of the flags from env. It returns all other entries, byte for
// byte, for the app. A variable USHER_… that belongs to no flag is not an error, because
// Kubernetes sets USHER_PORT and others for a Service with the name usher. The result
// is not nil, because a nil Env in a Config means usher's own environment.
func (r *optionReader) readEnv(env []string) []string {
	byVariable := map[string]*flagRow{}
	for i := range flags {
		if f := &flags[i]; !f.is(noVariable) {
			byVariable[f.variable()] = f
		}
	}
	rest := make([]string, 0, len(env))
	seen := map[*flagRow]bool{}
	for _, entry := range env {
		key, text, found := strings.Cut(entry, "=")
		f := byVariable[key]
		if f == nil || !found {
			rest = append(rest, entry)
			continue
		}
		// If there are several entries for a name, the first one counts, as for getenv(3).
		if !seen[f] && !r.given[f.name] {
			r.values[f.name] = splitVariable(f, text)
		}
		seen[f] = true
	}
	return rest
}

// splitVariable splits the text of a variable. A repeatable flag has one value per line.
func splitVariable(f *flagRow, text string) (values []value) {
	lines := []string{text}
	if f.is(repeatable) {
		lines = strings.Split(text, "\n")
	}
	for i, line := range lines {
		origin := f.variable()
		if f.is(repeatable) {
			origin = fmt.Sprintf("%s line %d", f.variable(), i+1)
		}
		if line = strings.TrimSpace(line); line != "" {
			values = append(values, value{line, origin})
		}
	}
	return values
}

// otherForm parses the options of --install and --probe, which start no app. They can be
// combined only with --log, --quiet and --verbose. The variables of the flags are ignored,
// because in a container they are set for the usher that runs the app.
func (r *optionReader) otherForm(form string, command []string, dashes bool, env []string) options {
	allowed := func(f *flagRow) bool { return f.name == form || f.is(withAnything) }
	for i := range flags {
		if f := &flags[i]; r.given[f.name] && !allowed(f) {
			r.addError("--%s: cannot be combined with --%s: leave one of them out", f.name, form)
		}
	}
	if (len(command) > 0 || dashes) && !r.lost {
		r.addError("a command cannot be combined with --%s: leave the command out", form)
	}
	o := options{otherForm: true, env: env}
	r.evaluate(&o, allowed)
	r.checkVerbosity(o)
	return o
}

// checkCommand checks the first word of the command. Without a command there must be a
// --wait, no flag that needs an app, and no "--", because a command was probably meant to
// follow it. After an unknown flag checkCommand checks nothing, because it is then unknown
// where the command begins.
func (r *optionReader) checkCommand(command []string, dashes bool) {
	hasWait := r.given["wait"] || len(r.values["wait"]) > 0
	switch {
	case r.lost:
	case len(command) > 0:
		r.checkFirstWord(command[0])
	case dashes, !hasWait:
		r.addError("no command (ENTRYPOINT clears the image's CMD)")
	default:
		r.refuseWithoutApp()
	}
}

// checkFirstWord refuses a command that is probably a mistake: JSON in one argument; a
// target, a URL or an address, because --wait was probably forgotten; an option of a target,
// because quotes were probably forgotten. Without this check usher would fail only after the
// wait, with "not found". The error repeats no text that may be a secret.
func (r *optionReader) checkFirstWord(first string) {
	const advice = "write --wait before each target, and the command last"
	scheme, _, url := strings.Cut(first, "://")
	name, _, option := strings.Cut(first, "=")
	switch {
	case len(first) > 1 && (first[0] == '[' || first[0] == '{'):
		r.addError("the command is JSON in one argument: write each of its words as a separate argument")
	case url && isScheme(scheme):
		r.addError("the command %s://… is a target: %s", scheme, advice)
	case strings.HasPrefix(first, "env:"):
		r.addError("the command env:… is a target: " + advice)
	case url && !strings.Contains(scheme, "/"):
		r.addError("the command is a URL: " + advice)
	case isAddress(first):
		r.addError("the command looks like an address: " + advice + ", as in --wait tcp://db:5432")
	case option && isTargetOption(name):
		r.addError("the command %s=… is an option of a target: quote it with its target, as in --wait 'timeout=2s tcp://db:5432'", name)
	}
}

// isAddress reports whether a word has the form HOST:PORT or USER:PASSWORD@HOST. A program
// with such a name can still be started by a path with a slash.
func isAddress(word string) bool {
	user, _, at := strings.Cut(word, "@")
	i := max(strings.LastIndexByte(word, ':'), 0)
	host, port := word[:i], strings.TrimPrefix(word[i:], ":")
	return at && strings.Contains(user, ":") && !strings.Contains(user, "/") ||
		host != "" && port != "" && strings.Trim(port, "0123456789") == "" && !strings.Contains(host, "/")
}

func isScheme(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+.-") == ""
}

func isTargetOption(name string) bool {
	return slices.ContainsFunc(probes.Options(), func(o probes.OptionDoc) bool { return o.Name == name })
}

// refuseWithoutApp is called if there is no command. It refuses the flags that need an app,
// and deletes their values, so that there are no further errors for them.
func (r *optionReader) refuseWithoutApp() {
	for i := range flags {
		f := &flags[i]
		values := r.values[f.name]
		if !f.is(needsApp) || len(values) == 0 || f.arg == "" && !r.isTrue(f.name) {
			continue
		}
		r.addError("%s: needs an app: write a command, or leave the flag out", values[0].withoutNumber())
		delete(r.values, f.name)
	}
}

// withoutNumber returns the origin without the number of the value or line: --wait for
// "--wait (2 of 3)", USHER_WAIT for "USHER_WAIT line 2".
func (v value) withoutNumber() string {
	origin, _, _ := strings.Cut(v.origin, " ")
	return origin
}

// isTrue reports whether a switch is on. It ignores wrong values.
func (r *optionReader) isTrue(name string) bool {
	return slices.ContainsFunc(r.values[name], func(v value) bool { return isTrue(v.text) })
}

// evaluate parses the values of the flags for which include returns true, in the order of
// the flag table, and stores them in o.
func (r *optionReader) evaluate(o *options, include func(*flagRow) bool) {
	for i := range flags {
		f := &flags[i]
		values := r.values[f.name]
		switch {
		case !include(f):
		case !f.is(repeatable) && len(values) > 1:
			// Some programs use the first value, others the last. Usher refuses several values,
			// because a reader of the command line cannot know which one counts.
			r.wrong[f.name] = true
			r.addError("--%s: given %d times, but it takes one value", f.name, len(values))
		default:
			for _, v := range values {
				r.evaluateOne(o, f, v)
			}
		}
	}
}

// evaluateOne parses one value. If the value looks like a misplaced target, the error does
// not contain it, because it may hold a password.
func (r *optionReader) evaluateOne(o *options, f *flagRow, v value) {
	if !f.is(anyText) && (strings.Contains(v.text, "://") || strings.Contains(v.text, "=")) {
		r.wrong[f.name] = true
		r.addError("%s: takes no target: write targets for --wait, --ready or the hooks", v.origin)
		return
	}
	err := f.set(o, v.text)
	if err == nil {
		return
	}
	r.wrong[f.name] = true
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		r.addError("%s: %w", v.origin, err)
	}
}

func (r *optionReader) checkVerbosity(o options) {
	if o.quiet && o.verbose {
		r.addError("%s and %s cannot be combined: choose one", r.values["quiet"][0].origin, r.values["verbose"][0].origin)
	}
}

// validate checks the values against each other. It ignores errors that mention a field
// whose flag is in r.wrong, because that mistake is already reported. It ignores errors about
// the command, because checkCommand has checked it. After an unknown flag it does nothing.
func (r *optionReader) validate(c *supervisor.Config) {
	var invalid *multierror.Error
	if r.lost || !errors.As(c.Validate(), &invalid) {
		return
	}
	for _, err := range invalid.Errors {
		var fieldErr *supervisor.FieldError
		if errors.As(err, &fieldErr) {
			if fieldErr.Field == "Command" || slices.ContainsFunc(fieldErr.Fields(), r.isWrong) {
				continue
			}
			err = errors.New(fieldErr.Text(r.nameOf))
		}
		r.errs.Errors = append(r.errs.Errors, err)
	}
}

// isWrong reports whether an error about the value of the flag that sets the field has
// already been added.
func (r *optionReader) isWrong(field string) bool {
	f := flagOfField(field)
	return f != nil && r.wrong[f.name]
}

// nameOf returns the name that errors use for a field. That is the flag or the environment
// variable that has set the field. If the user has set neither, it is the flag.
func (r *optionReader) nameOf(field string) string {
	f := flagOfField(field)
	switch {
	case f == nil:
		return field
	case len(r.values[f.name]) > 0:
		return r.values[f.name][0].withoutNumber()
	}
	return "--" + f.name
}
