package probes

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCommandNamesShowNoPossibleSecret(t *testing.T) {
	for word, want := range map[string]struct{ path, name string }{
		// Usual names of commands are shown.
		"app":                      {"app", "app"},
		"":                         {"", ""},
		"[":                        {"[", "["},
		"g++":                      {"g++", "g++"},
		"Größe":                    {"Größe", "Größe"},
		"./my_app-1.2":             {"./my_app-1.2", "my_app-1.2"},
		"~/bin/app":                {"~/bin/app", "app"},
		"/usr//bin/app":            {"/usr//bin/app", "app"},
		"./x//app":                 {"./x//app", "app"},
		"node_modules/.bin/vite":   {"node_modules/.bin/vite", "vite"},
		"/opt/node@20/bin/node":    {"/opt/node@20/bin/node", "node"},
		"dist.x/server":            {"dist.x/server", "server"},
		"localhost":                {"localhost", "localhost"},
		"~//bin/app":               {"~//bin/app", "app"},
		"//bin/app":                {"…", "…"},
		"Große\u0301":              {"Große\u0301", "Große\u0301"},
		"/opt/hooks.example.com/x": {"/opt/hooks.example.com/x", "x"},
		// Text that may be a secret is not shown.
		"app --password=x":        {"app…", "app…"},
		"/bin/app -u a:b /c":      {"/bin/app…", "app…"},
		"app\tx":                  {"app…", "app…"},
		"NAME=x":                  {"NAME…", "NAME…"},
		"header:x":                {"header…", "header…"},
		"app?x":                   {"app…", "app…"},
		"x@host":                  {"…", "…"},
		"@host":                   {"…", "…"},
		"a//b":                    {"a…", "a…"},
		"localhost/T/x":           {"localhost/…", "localhost/…"},
		"app\ufffdx":              {"app…", "app…"},
		"//x@host/db":             {"…", "…"},
		"redis//x@host":           {"redis…", "redis…"},
		"http//host/x":            {"http…", "http…"},
		"hooks.example.com/T/x":   {"hooks.example.com/…", "hooks.example.com/…"},
		`["app","x"]`:             {"…", "…"},
		"app\x00x":                {"app…", "app…"},
		"app\xffx":                {"app…", "app…"},
		"app\u202ex":              {"app…", "app…"},
		" app":                    {"…", "…"},
		"/opt/My App/run --token": {"/opt/My…", "My…"},
	} {
		assert.Equal(t, want.path, CommandPath(word), "%q", word)
		assert.Equal(t, want.name, CommandName(word), "%q", word)
	}
}

func TestHintForACommandThatDoesNotExist(t *testing.T) {
	for word, want := range map[string]string{
		"app x":   "a command and its arguments are separate words, not one in quotes",
		"app\tx":  "a command and its arguments are separate words, not one in quotes",
		"A=b c":   "for an environment variable write env NAME=value cmd",
		`["a b"]`: "JSON is not supported here: write the command and its arguments as separate words",
		"{}":      "JSON is not supported here: write the command and its arguments as separate words",
		"app":     "", "[": "", "": "",
	} {
		assert.Equal(t, want, CommandHint(word), "%q", word)
	}
}
