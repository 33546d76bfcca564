package probes

import (
	"errors"
	"strings"
)

// A word is one word of a text, without its quotes.
type word struct {
	text   string
	quoted []bool // for each byte of text: whether it was in quotes or after a backslash
	line   int    // the number of the line in which the word starts; buildCommand rejects a command of several lines
}

// splitWords splits a text into words by the quoting rules of the POSIX shell (XCU 2.2). In
// single quotes no character is special. In double quotes a backslash quotes only a $, `, " or
// \ after it, and outside of quotes any character. A backslash and a newline after it are
// removed, except in single quotes. Nothing is expanded.
func splitWords(text string) ([]word, error) {
	if strings.ContainsRune(text, 0) {
		return nil, errors.New("a NUL byte, which no argument can have")
	}
	var (
		words []word
		w     *word
		bytes []byte // the text of w so far
		line  int
		quote byte
	)
	add := func(c byte, quoted bool) {
		bytes = append(bytes, c)
		w.quoted = append(w.quoted, quoted)
	}
	end := func() {
		w.text = string(bytes)
		words = append(words, *w)
		w, bytes = nil, bytes[:0]
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		last := i+1 == len(text)
		if w == nil {
			if strings.IndexByte(" \t\r\n", c) >= 0 {
				if c == '\n' {
					line++
				}
				continue
			}
			if c == '\\' && !last && text[i+1] == '\n' {
				i++
				continue
			}
			w = &word{line: line}
		}
		switch {
		case c == '\\' && quote != '\'':
			if last {
				return nil, errors.New("a backslash at the end, with no character after it to quote")
			}
			next := text[i+1]
			i++
			switch {
			case next == '\n':
			case quote == '"' && strings.IndexByte("$`\"\\", next) < 0:
				add(c, true)
				add(next, true)
			default:
				add(next, true)
			}
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				add(c, true)
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.IndexByte(" \t\r\n", c) >= 0:
			end()
			if c == '\n' {
				line++
			}
		default:
			add(c, false)
		}
	}
	if quote != 0 {
		return nil, errors.New("an unclosed quote: a " + string(quote) + " is missing")
	}
	if w != nil {
		end()
	}
	return words, nil
}

// unquotedChars returns the unquoted characters of the word that are in set.
func (w word) unquotedChars(set string) (found string) {
	for i := range len(w.text) {
		if c := w.text[i : i+1]; !w.quoted[i] && strings.Contains(set, c) {
			found += c
		}
	}
	return found
}

// startsUnquoted reports whether the word starts with an unquoted character of set.
func (w word) startsUnquoted(set string) bool {
	return w.text != "" && !w.quoted[0] && strings.IndexByte(set, w.text[0]) >= 0
}

// wouldExpand reports whether the word contains an unquoted $name, ${…}, $(…) or `…`, which a
// shell would expand. A $ before any other character or at the end does not count, because a
// regular expression may contain it.
func (w word) wouldExpand() bool {
	for i := range len(w.text) {
		if w.quoted[i] {
			continue
		}
		if w.text[i] == '`' {
			return true
		}
		if w.text[i] == '$' && i+1 < len(w.text) && !w.quoted[i+1] {
			c := w.text[i+1]
			if c == '_' || c == '{' || c == '(' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
				return true
			}
		}
	}
	return false
}
