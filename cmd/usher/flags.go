package main

import (
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// usage is what --help prints. A test holds it against the table of flags.
//
//go:embed usage.txt
var usage string

// waitTimeout is the default of --wait-timeout: a dependency that is a minute
// late is worth a restart of the container, where somebody sees it.
const waitTimeout = 60 * time.Second

// options is what a command line and its environment ask for.
type options struct {
	config  supervisor.Config
	json    bool // --log json
	quiet   bool
	verbose bool

	health         string // where to listen for the platform's probes; "": nowhere
	terminationLog string // where the reason of the end goes; "": the default

	// One of these makes another program of it; otherForm: --install or --probe, as
	// far as could be read.
	otherForm bool
	help      bool            // print usage
	version   bool            // print the version
	install   string          // copy usher there
	probe     []probes.Target // ask these once
	plan      bool            // print what would be done
}

// parseOptions reads the command line, then the variables of the flags that it
// did not give. The error holds every mistake, one line each, and no secret.
//
// --help and --version are answered before anything is judged, so that they
// work wherever a broken flag or variable is being looked into, and because
// dockerd asks an init for its version and waits until it has one.
func parseOptions(args, env []string) (options, error) {
	p := newParser()
	command, dashes := p.readArgs(args)
	if help, version := p.isTrue("help"), p.isTrue("version"); help || version {
		return options{help: help, version: version}, nil
	}
	if p.asked["install"] || p.asked["probe"] {
		return p.otherForm(command, dashes), p.mistakes.ErrorOrNil()
	}
	rest := p.readEnv(env)
	p.checkCommand(command, dashes)

	o := p.values()
	o.config.Command, o.config.Env = command, rest
	p.checkSum(o)
	return o, p.mistakes.ErrorOrNil()
}

// newFlags is the table of all flags; the type says how a flag takes its value:
// a bool none, a string one, a stringArray one each time it is given. (A
// stringSlice would split targets at their commas.)
//
// The values stay in words of the parser below. pflag's own Parse is not used,
// because it stops at the first mistake.
func newFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("usher", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	for _, name := range []string{
		"wait", "pre-start", "ready", "post-start", "drain", "post-stop", "stop-on", "rewrite",
		"probe",
	} {
		flags.StringArray(name, nil, "")
	}
	for _, name := range []string{
		"wait-timeout", "drain-delay", "drain-idle", "stop-signal", "grace", "stop-reserve", "success-exit", "log",
		"health", "termination-log", "install",
	} {
		flags.String(name, "", "")
	}
	for _, name := range []string{"exec", "group", "quiet", "verbose", "plan", "help", "version"} {
		flags.Bool(name, false, "")
	}
	return flags
}

// parser collects what each flag was given, and all that is wrong with it.
type parser struct {
	flags    *pflag.FlagSet
	words    map[string][]word // values by the flag's name, in order
	asked    map[string]bool   // flags on the command line, even if written wrongly
	adrift   bool              // after an unknown flag: what follows may be its value
	mistakes *multierror.Error
}

// word is one value as it was written, and where: "--wait", "USHER_WAIT line 2".
type word struct{ text, origin string }

func newParser() *parser {
	return &parser{
		flags:    newFlags(),
		words:    map[string][]word{},
		asked:    map[string]bool{},
		mistakes: &multierror.Error{ErrorFormat: lines},
	}
}

// lines is the form of the whole report: one mistake a line.
func lines(mistakes []error) string {
	var b strings.Builder
	for i, err := range mistakes {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

func (p *parser) mistake(format string, a ...any) {
	p.mistakes.Errors = append(p.mistakes.Errors, fmt.Errorf(format, a...))
}

// readArgs reads the flags and returns the command behind them, untouched, and
// whether "--" came before it.
func (p *parser) readArgs(args []string) (command []string, dashes bool) {
	defer p.number()
	for len(args) > 0 {
		word, rest := args[0], args[1:]
		if word == "--" {
			return rest, true
		}
		if word == "-" || !strings.HasPrefix(word, "-") {
			return args, false
		}
		args = p.readFlag(word, rest)
	}
	return nil, false
}

// readFlag reads one flag, with its value if that is a word of its own, and
// returns the words after it.
func (p *parser) readFlag(arg string, rest []string) []string {
	if arg == "-h" {
		arg = "--help"
	}
	name, value, written := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	flag := p.flags.Lookup(name)
	known := flag != nil
	if i := strings.IndexAny(name, ": \t\n"); i > 0 && p.flags.Lookup(name[:i]) != nil {
		// --drain:CMD, or "--drain CMD" as one item of a YAML list.
		p.mistake("--%s: its value is a word of its own, or comes after =: write --%[1]s=…", name[:i])
		p.asked[name[:i]] = true
		return rest
	}
	if !known {
		flag = p.unknown(strings.TrimSuffix(arg, "="+value))
	}
	if flag == nil {
		return rest
	}
	p.asked[flag.Name] = true

	switch {
	case written:
	case flag.NoOptDefVal != "":
		value = flag.NoOptDefVal
	case len(rest) > 0 && isValue(rest[0]):
		value, rest = rest[0], rest[1:]
	case known:
		p.mistake("--%s: needs a value", name)
		return rest
	}
	if known {
		p.words[name] = append(p.words[name], word{value, "--" + name})
	}
	return rest
}

// isValue reports whether a word can be the value of the flag before it. No
// value begins with two dashes, so "--wait --grace 25s" is a value forgotten,
// and "--wait --help" a call for help. "--flag=--value" can still be written.
func isValue(word string) bool {
	return !strings.HasPrefix(word, "--") && word != "-h"
}

// unknown reports a flag that does not exist and returns the one that was
// probably meant, if any: its value is then skipped, not taken for the command.
func (p *parser) unknown(arg string) *pflag.Flag {
	name := strings.TrimLeft(arg, "-")
	var nearest *pflag.Flag
	best := min(2, len(name)/2) + 1 // of a short name, two letters are all of it
	p.flags.VisitAll(func(flag *pflag.Flag) {
		if d := distance(name, flag.Name); d < best {
			best, nearest = d, flag
		}
	})
	switch {
	case nearest != nil:
		p.mistake("%s: no such flag: did you mean --%s?", public(arg, len(arg)), nearest.Name)
	case tiniFlags[arg] != "":
		p.mistake("%s: no such flag: write %s", arg, tiniFlags[arg])
	case !strings.HasPrefix(arg, "--"): // the rest of such a word may be a value
		p.mistake("%s: no such flag: all but -h are written in full", public(arg, 2))
	default:
		p.mistake("%s: no such flag", public(arg, 40))
	}
	p.adrift = p.adrift || nearest == nil
	return nearest
}

// tiniFlags are what those who come from other inits have in their fingers.
var tiniFlags = map[string]string{"-g": "--group", "-e": "--success-exit", "-v": "--verbose", "-r": "--rewrite"}

// distance counts the letters to add, drop or replace to get from a to b.
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a) // far away; and argv may be as long as it likes
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

// public is the part of a stranger's word that looks like a flag's name: it
// keeps a message to one line, and what may be a secret out of it.
func public(word string, most int) string {
	const name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	keep := min(most, len(word)-len(strings.TrimLeft(word, name)))
	if keep < len(word) {
		return word[:keep] + "…"
	}
	return word
}

// number tells the values of a repeated flag apart: "--wait (2 of 3)".
func (p *parser) number() {
	for name, words := range p.words {
		if !p.repeatable(name) || len(words) == 1 {
			continue
		}
		for i := range words {
			words[i].origin = fmt.Sprintf("--%s (%d of %d)", name, i+1, len(words))
		}
	}
}

func (p *parser) repeatable(name string) bool {
	return p.flags.Lookup(name).Value.Type() == "stringArray"
}

// variable is the name of a flag's environment variable.
func variable(name string) string {
	return "USHER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// readEnv takes the flags' variables out of env and returns the rest, which is
// the app's, byte for byte. Only the names of existing flags are ours:
// Kubernetes makes USHER_PORT and more for a Service that is called usher.
// The rest is never nil: to a Config that would mean usher's own environment.
func (p *parser) readEnv(env []string) []string {
	names := map[string]string{}
	p.flags.VisitAll(func(flag *pflag.Flag) { names[variable(flag.Name)] = flag.Name })
	for _, name := range []string{"help", "version", "install", "probe"} {
		delete(names, variable(name))
	}

	rest := make([]string, 0, len(env))
	seen := map[string]bool{}
	for _, entry := range env {
		key, value, found := strings.Cut(entry, "=")
		name := names[key]
		if name == "" || !found {
			rest = append(rest, entry)
			continue
		}
		// Of a key given twice the first counts, as for getenv.
		if !seen[name] && !p.asked[name] {
			p.readVariable(name, value)
		}
		seen[name] = true
	}
	return rest
}

// readVariable reads one variable: a repeatable flag's holds a value a line.
func (p *parser) readVariable(name, value string) {
	key := variable(name)
	if !p.repeatable(name) {
		if text := strings.TrimSpace(value); text != "" {
			p.words[name] = []word{{text, key}}
		}
		return
	}
	for i, line := range strings.Split(value, "\n") {
		if text := strings.TrimSpace(line); text != "" {
			p.words[name] = append(p.words[name], word{text, fmt.Sprintf("%s line %d", key, i+1)})
		}
	}
}

// otherForm is for --install and --probe, which start nothing: only the flags of
// the log go with them, and no variable is read, for those are about the app.
func (p *parser) otherForm(command []string, dashes bool) options {
	form := "install"
	if p.asked["probe"] {
		form = "probe"
	}
	p.flags.VisitAll(func(flag *pflag.Flag) {
		if p.asked[flag.Name] && !slices.Contains([]string{form, "log", "quiet", "verbose"}, flag.Name) {
			p.mistake("--%s: has no place beside --%s, which does nothing else: leave one of them out", flag.Name, form)
		}
	})
	if (len(command) > 0 || dashes) && !p.adrift {
		p.mistake("a command has no place beside --%s, which starts none: leave it out", form)
	}
	o := options{otherForm: true}
	o.json = p.logFormat() == "json"
	o.quiet, o.verbose = p.truth("quiet"), p.truth("verbose")
	p.checkVolume(o)
	if form == "probe" {
		o.probe = p.targets("probe", probes.ForProbe)
		return o
	}
	w, ok := p.single("install")
	if o.install = w.text; ok && w.text == "" {
		p.mistake("--install: needs the path of a directory or a file")
	}
	return o
}

// checkCommand judges whether there is something to do, and whether the command
// is one.
func (p *parser) checkCommand(command []string, dashes bool) {
	waits := p.asked["wait"] || len(p.words["wait"]) > 0
	switch {
	case len(command) > 0 && !p.adrift:
		p.checkFirstWord(command[0])
	case len(command) > 0:
	case dashes, !waits:
		p.mistake("no command (ENTRYPOINT clears the image's CMD)")
	default:
		p.refuseWithoutApp()
	}
}

// checkFirstWord refuses a command that is a piece of a target left without
// quotes or without its own --wait: it would otherwise end, a minute later, as
// a command that is not found. Only its public part is repeated.
func (p *parser) checkFirstWord(first string) {
	const each = "write --wait before each target, and the command last"
	scheme, _, url := strings.Cut(first, "://")
	name, _, option := strings.Cut(first, "=")
	switch {
	case len(first) > 1 && (first[0] == '[' || first[0] == '{'):
		p.mistake("the command is JSON in one word: write each of its words as one of the command line")
	case url && isScheme(scheme):
		p.mistake("the command %s://… is a target: %s", scheme, each)
	case url && !strings.Contains(scheme, "/"):
		p.mistake("the command is a URL: " + each)
	case isAddress(first):
		p.mistake("the command looks like an address: " + each + ", as in --wait tcp://db:5432")
	case option && slices.Contains(targetOptions, name):
		p.mistake("the command %s=… is an option of a target: quote it with its target, as in --wait 'timeout=2s tcp://db:5432'", name)
	}
}

// isAddress reports whether a word is HOST:PORT or USER:PASSWORD@HOST. A program
// of such a name can still be written with its path.
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

// targetOptions are the words that may stand before a target.
var targetOptions = []string{
	"timeout", "interval", "within", "optional", "successes", "name",
	"retries", "method", "status", "header", "body", "match",
	"ca", "cert", "key", "server-name", "insecure", "send", "expect",
}

// refuseWithoutApp refuses, when usher is only to wait, what is about an app.
// Pre-start and post-stop hooks are not: they run around the waiting. Such a
// flag is then forgotten, so that nothing else is found wrong with it.
func (p *parser) refuseWithoutApp() {
	for _, name := range []string{
		"ready", "post-start", "health", "drain-delay", "drain", "drain-idle", "stop-signal", "stop-reserve",
		"exec", "group", "rewrite", "success-exit",
	} {
		words := p.words[name]
		if len(words) == 0 || (name == "exec" || name == "group") && !p.isTrue(name) {
			continue
		}
		origin, _, _ := strings.Cut(words[0].origin, " ")
		p.mistake("%s: there is no app that it could act on: give a command, or leave it out", origin)
		delete(p.words, name)
	}
}

// values turns the words into values, in the order of the timeline.
func (p *parser) values() options {
	var o options
	c := &o.config
	c.Wait = p.targets("wait", probes.ForWait)
	c.WaitTimeout = p.duration("wait-timeout", waitTimeout, 0)
	c.PreStart = p.targets("pre-start", probes.ForStart)
	c.Ready = p.targets("ready", probes.ForReady)
	c.PostStart = p.targets("post-start", probes.ForStart)
	if address, port := p.healthAddress(); address != "" {
		o.health, c.Readiness = address, supervisor.NewReadiness()
		c.IdleExcept = []uint16{port} // those who ask how the app is are not its clients
	}
	c.DrainDelay = p.duration("drain-delay", 0, 0)
	c.Drain = p.targets("drain", probes.ForEnd)
	c.DrainIdle = p.duration("drain-idle", 0, 0)
	c.StopSignal = p.stopSignal()
	c.StopOn = p.stopOn()
	c.Grace = p.duration("grace", 0, ample)
	c.StopReserve = p.stopReserve()
	c.PostStop = p.targets("post-stop", probes.ForEnd)
	c.Exec = p.truth("exec")
	c.Group = p.truth("group")
	c.Rewrite = p.rewrite()
	c.SuccessExit = p.successExit()
	o.json = p.logFormat() == "json"
	o.quiet, o.verbose = p.truth("quiet"), p.truth("verbose")
	o.plan = p.truth("plan")
	if w, ok := p.single("termination-log"); ok {
		if o.terminationLog = w.text; !path.IsAbs(w.text) { // usher leaves its directory
			p.mistake("%s: needs an absolute path, such as %s", w.origin, defaultTerminationLog)
		}
	}
	o.help, o.version = p.truth("help"), p.truth("version") // false by now, or a mistake
	return o
}

// single returns the value of a flag that takes one. Two are refused: whichever
// won, half of the readers of the command line would have expected the other.
func (p *parser) single(name string) (word, bool) {
	words := p.words[name]
	switch len(words) {
	case 0:
		return word{}, false
	case 1:
		return words[0], true
	}
	p.mistake("--%s: given %d times, but it takes one value", name, len(words))
	return word{}, false
}

// plain is single for all but targets. A piece of a target in the wrong place is
// refused unread, for it may hold a password that a message must not repeat.
func (p *parser) plain(name string) (word, bool) {
	w, ok := p.single(name)
	return w, ok && !p.misplaced(w)
}

func (p *parser) misplaced(w word) bool {
	if !strings.Contains(w.text, "://") && !strings.Contains(w.text, "=") {
		return false
	}
	p.mistake("%s: takes no target: those belong to --wait, --ready and the hooks", w.origin)
	return true
}

// quoted is a wrong value as a message may repeat it: whoever has mixed up two flags
// may have written a secret. also are characters that it may have beside letters and
// digits.
func quoted(text, also string) string { return fmt.Sprintf("%.40q", probes.Redact(text, also)) }

// quotedAddress shows what stands behind a colon only if it is a port.
func quotedAddress(text string) string {
	const host = ".-_[]%"
	if port := text[strings.LastIndexByte(text, ':')+1:]; strings.Trim(port, "0123456789") == "" {
		return quoted(text, host+":")
	}
	return quoted(text, host)
}

// parseSignal reads a signal. What is cut has characters that no signal has.
func parseSignal(text string) (syscall.Signal, error) {
	return signals.Parse(probes.Redact(text, "+-"))
}

// redactRewrite cuts what stands behind the colon, unless a signal stands before it.
func redactRewrite(text string) string {
	from, _, two := strings.Cut(text, ":")
	if _, err := signals.Parse(from); two && err != nil {
		return probes.Redact(from, "+-") + ":…"
	}
	return probes.Redact(text, ":+-")
}

// isTrue reads a boolean and says nothing about a bad one.
func (p *parser) isTrue(name string) bool {
	return slices.ContainsFunc(p.words[name], func(w word) bool { return w.text == "true" || w.text == "1" })
}

func (p *parser) truth(name string) bool {
	w, ok := p.plain(name)
	if ok && !slices.Contains([]string{"true", "false", "1", "0"}, w.text) {
		p.mistake("%s: %s is not a boolean: write true, false, 1 or 0", w.origin, quoted(w.text, ""))
	}
	return ok && (w.text == "true" || w.text == "1")
}

// ample stands for a duration that could not be read where a short one would
// seem to be a second mistake.
const ample = 1000 * time.Hour

// duration reads a duration; absent and unread are its values if it was not
// given, or given wrongly.
func (p *parser) duration(name string, absent, unread time.Duration) time.Duration {
	w, ok := p.plain(name)
	if !ok && len(p.words[name]) == 0 {
		return absent
	}
	if !ok {
		return unread
	}
	d, err := probes.ParseDuration(w.text)
	if err != nil {
		p.mistake("%s: %w", w.origin, err)
		return unread
	}
	return d
}

// stopReserve refuses a written 0, which a Config would take for the default.
func (p *parser) stopReserve() time.Duration {
	d := p.duration("stop-reserve", 0, -1)
	if d == 0 && len(p.words["stop-reserve"]) > 0 {
		p.mistake("%s: 0 leaves the app no time to stop: leave it out for half of --grace, at most 10s", p.words["stop-reserve"][0].origin)
	}
	return max(d, 0)
}

// targets reads a repeatable flag's targets, in order.
func (p *parser) targets(name string, use probes.Use) []probes.Target {
	var targets []probes.Target
	for _, w := range p.words[name] {
		target, err := probes.Parse(w.text, use)
		if err != nil {
			p.mistakesOf(w, err)
			continue
		}
		targets = append(targets, target)
	}
	return targets
}

// mistakesOf reports each of the mistakes that Parse has joined on its own line.
func (p *parser) mistakesOf(w word, err error) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		p.mistake("%s: %w", w.origin, err)
	}
}

// healthAddress reads an address of this container. A name would have to be looked
// up first, and a port 0 nobody could find.
func (p *parser) healthAddress() (address string, port uint16) {
	w, ok := p.plain("health")
	if !ok {
		return "", 0
	}
	host, digits, err := net.SplitHostPort(w.text)
	number, notNumber := strconv.ParseUint(digits, 10, 16)
	if _, notIP := netip.ParseAddr(host); err != nil || host != "" && notIP != nil || notNumber != nil || number == 0 {
		p.mistake("%s: %s is not an address to listen on: write :PORT or IP:PORT, as in :8086 or 127.0.0.1:8086", w.origin, quotedAddress(w.text))
		return "", 0
	}
	return w.text, uint16(number)
}

func (p *parser) stopSignal() syscall.Signal {
	w, ok := p.plain("stop-signal")
	if !ok {
		return 0
	}
	if w.text == "none" {
		return supervisor.NoSignal
	}
	sig, err := parseSignal(w.text)
	if err != nil {
		p.mistake("%s: %w", w.origin, err)
	}
	return sig
}

func (p *parser) stopOn() []syscall.Signal {
	var stops []syscall.Signal
	for _, w := range p.words["stop-on"] {
		if p.misplaced(w) {
			continue
		}
		if strings.Contains(w.text, ",") {
			p.mistake("%s: takes one signal: write --stop-on for each, as in --stop-on QUIT --stop-on USR1", w.origin)
			continue
		}
		sig, err := parseSignal(w.text)
		if err == nil {
			err = signals.Receivable(sig)
		}
		if err != nil {
			p.mistake("%s: %w", w.origin, err)
			continue
		}
		stops = append(stops, sig)
	}
	return stops
}

func (p *parser) rewrite() signals.Rewrite {
	var rewrite signals.Rewrite
	for _, w := range p.words["rewrite"] {
		if p.misplaced(w) {
			continue
		}
		from, to, err := signals.ParseRewrite(redactRewrite(w.text))
		if err != nil {
			p.mistake("%s: %w", w.origin, err)
			continue
		}
		if _, twice := rewrite[from]; twice {
			p.mistake("%s: %s is rewritten twice", w.origin, signals.Name(from))
			continue
		}
		if rewrite == nil {
			rewrite = signals.Rewrite{}
		}
		rewrite[from] = to
	}
	return rewrite
}

func (p *parser) successExit() []int {
	w, ok := p.plain("success-exit")
	if !ok {
		return nil
	}
	var codes []int
	for _, text := range strings.Split(w.text, ",") {
		code, err := strconv.ParseUint(strings.TrimSpace(text), 10, 8)
		if err != nil {
			p.mistake("%s: %s is not an exit code: write numbers from 0 to 255, as in 143 or 130,143", w.origin, quoted(strings.TrimSpace(text), "+-"))
			continue
		}
		codes = append(codes, int(code))
	}
	return codes
}

func (p *parser) logFormat() string {
	w, ok := p.plain("log")
	if ok && w.text != "text" && w.text != "json" {
		p.mistake("%s: %s is not a format: write text or json", w.origin, quoted(w.text, ""))
	}
	return w.text
}

func (p *parser) checkVolume(o options) {
	if o.quiet && o.verbose {
		p.mistake("%s and %s contradict each other: choose one", p.words["quiet"][0].origin, p.words["verbose"][0].origin)
	}
}

// checkSum judges the values together.
func (p *parser) checkSum(o options) {
	p.checkVolume(o)
	if len(o.config.Command) == 0 {
		o.config.Command = []string{"none"} // checkCommand has judged that, and knows more
	}
	if err := o.config.Validate(); err != nil {
		p.mistakes = multierror.Append(p.mistakes, err)
	}
}
