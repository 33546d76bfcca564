package probes

import (
	"fmt"
	"path"
	"strings"
	"unicode"
)

// Redact returns the prefix of text that is safe to print. The prefix has only letters,
// combining marks, numbers and the characters in extra. If text is longer, Redact appends "…".
// Messages show only this prefix of a wrong word, because after a typo any word may contain a
// password, usually after a space, = or colon.
func Redact(text, extra string) string {
	for i, c := range text {
		safe := unicode.IsLetter(c) || unicode.IsMark(c) || unicode.IsNumber(c) || strings.ContainsRune(extra, c)
		if !safe {
			return text[:i] + "…"
		}
	}
	return text
}

// CommandName returns the name by which logs call a command whose first word is word: the last
// element of [CommandPath], or all of it if word looks like a URL without a scheme.
func CommandName(word string) string {
	if _, url := schemelessURL(word); word == "" || url {
		return CommandPath(word)
	}
	return path.Base(CommandPath(word))
}

// CommandPath returns word, the first word of a command, in a form that is safe to print.
func CommandPath(word string) string {
	if word == "[" { // test(1)
		return word
	}
	if host, ok := schemelessURL(word); ok {
		return host + "/…"
	}
	shown := Redact(word, "/._-+~@")
	// In http//HOST/PATH and //USER@HOST the // is a typing error, and the text after it may be
	// a secret. A path such as /usr//bin/app is shown with its //.
	if i := strings.Index(shown, "//"); i == 0 || i > 0 && !strings.ContainsAny(word[:1], "/.~") {
		shown = shown[:i] + "…"
	}
	// If there is no / before the @, the word may be USER@HOST, and the user may be a token.
	// With a / before the @, the word is a path, such as /opt/node@20/bin/node.
	if i := strings.IndexByte(shown, '@'); i >= 0 && !strings.Contains(shown[:i], "/") {
		return "…"
	}
	return shown
}

// CommandHint returns a hint for a command that does not exist, or "" if there is none.
func CommandHint(word string) string {
	switch i := strings.IndexFunc(word, func(c rune) bool { return unicode.IsSpace(c) || c == '=' }); {
	case isJSON(word):
		return jsonHint
	case i < 0:
		return ""
	case word[i] == '=':
		return "for an environment variable write env NAME=value cmd"
	}
	return "a command and its arguments are separate words, not one in quotes"
}

// isJSON reports whether a word starts like a JSON array or object. The word [ alone is not
// JSON, but the command test(1).
func isJSON(word string) bool {
	return len(word) > 1 && (word[0] == '[' || word[0] == '{')
}

const jsonHint = "JSON is not supported here: write the command and its arguments as separate words"

// schemelessURL returns the host of HOST/PATH, where HOST is localhost, an IPv4 address or a
// name that ends with a dot and at least two letters. For any other word ok is false. Messages
// show only the host, because the path may be a secret, for example in the URL of a webhook.
func schemelessURL(word string) (host string, ok bool) {
	host, _, ok = strings.Cut(word, "/")
	if !ok || host == "localhost" {
		return host, ok
	}
	// The conditions before hostPattern exclude most words, so that its regular expression,
	// which takes time to compile, is rarely needed.
	return host, strings.Trim(host, ".") != "" && strings.Contains(host, ".") && hostPattern().MatchString(host)
}

var (
	hostPattern = lazyRegexp(`^([A-Za-z0-9-]+\.)+[A-Za-z]{2,}$|^[0-9]+(\.[0-9]+){3}$`)
	// numberLike matches text that may be meant as a duration or a count: "25 s",
	// "1m 30sec", "-1".
	numberLike = lazyRegexp(`^([-+]?[0-9.]+ ?[a-zA-Zµμ]{0,7} ?)+$`)
)

// quoteNumber quotes the wrong value of an option or flag that takes a number or a duration. A
// value that does not look like one, or has more than 40 bytes, is redacted, because the user
// may have given it to the wrong option, and it may be a secret.
func quoteNumber(value string) string {
	if len(value) > 40 || !numberLike().MatchString(value) {
		value = Redact(value, ".-+")
	}
	return fmt.Sprintf("%.40q", value)
}
