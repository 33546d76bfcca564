package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hclBlock is a block of HCL: its name, its labels, its attributes, and the blocks in it.
type hclBlock struct {
	name       string
	labels     []string
	attributes map[string]any // string, int or []string
	blocks     []*hclBlock
}

var hclToken = regexp.MustCompile(`(?m)^\s*#.*$|#.*$|"[^"\\$%]*"|[A-Za-z_][A-Za-z_0-9-]*|\d+|[={}\[\],]|\S`)

// parseHCL reads the part of HCL that the examples use: blocks with labels, and attributes
// that are strings, numbers or lists of strings. Strings have no escapes and no templates.
// parseHCL returns a block without a name, which holds the blocks of the file.
func parseHCL(t *testing.T, file string) *hclBlock {
	t.Helper()
	var tokens []string
	for _, token := range hclToken.FindAllString(file, -1) {
		if !strings.HasPrefix(strings.TrimSpace(token), "#") {
			tokens = append(tokens, token)
		}
	}
	next := func() string {
		t.Helper()
		require.NotEmpty(t, tokens, "the file ends in the middle of a block")
		token := tokens[0]
		tokens = tokens[1:]
		return token
	}
	text := func(token string) string {
		t.Helper()
		require.Regexp(t, `^".*"$`, token)
		return strings.Trim(token, `"`)
	}
	root := &hclBlock{attributes: map[string]any{}}
	open := []*hclBlock{root}
	for len(tokens) > 0 {
		inside := open[len(open)-1]
		name := next()
		if name == "}" {
			require.Greater(t, len(open), 1, "a } too many")
			open = open[:len(open)-1]
			continue
		}
		require.Regexp(t, `^[A-Za-z_]`, name)
		if tokens[0] != "=" {
			block := &hclBlock{name: name, attributes: map[string]any{}}
			for token := next(); token != "{"; token = next() {
				block.labels = append(block.labels, text(token))
			}
			inside.blocks = append(inside.blocks, block)
			open = append(open, block)
			continue
		}
		next()
		require.NotContains(t, inside.attributes, name)
		switch token := next(); {
		case token == "[":
			list := []string{}
			for token := next(); token != "]"; token = next() {
				if token != "," {
					list = append(list, text(token))
				}
			}
			inside.attributes[name] = list
		case strings.HasPrefix(token, `"`):
			inside.attributes[name] = text(token)
		default:
			number, err := strconv.Atoi(token)
			require.NoError(t, err)
			inside.attributes[name] = number
		}
	}
	require.Len(t, open, 1, "a } is missing")
	return root
}

// block returns the block with this name inside b. There must be exactly one.
func (b *hclBlock) block(t *testing.T, name string) *hclBlock {
	t.Helper()
	var found []*hclBlock
	for _, inside := range b.blocks {
		if inside.name == name {
			found = append(found, inside)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

// walk calls a function for the block and all blocks in it, each with its path.
func (b *hclBlock) walk(path string, visit func(path string, b *hclBlock)) {
	visit(path, b)
	for _, inside := range b.blocks {
		inside.walk(path+"."+inside.name, visit)
	}
}
