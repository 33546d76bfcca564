package supervisor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Only loop.until may receive signals. Every wait of the supervisor calls loop.until, so
// signals are handled during every wait. This is a test and not a rule of .golangci.yml,
// because a linter rule can exempt a file or a line, but not a function.
func TestSignalsAreReceivedOnlyInUntil(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var found []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "inbox" {
					found = append(found, path+" "+f.Name.Name)
				}
				return true
			})
		}
	}
	require.NotEmpty(t, found)
	for _, where := range found {
		assert.Equal(t, "loop.go until", where)
	}
}
