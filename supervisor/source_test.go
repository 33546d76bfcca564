package supervisor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two waits in one program take each other's exit statuses: beside a wait4(-1), about
// half of all exec.Cmd.Wait calls fail with ECHILD. So the program contains no os/exec,
// and no other call that waits for a process.
func TestTheProgramContainsOneWait4(t *testing.T) {
	waits := map[string]bool{"Wait4": true, "Waitid": true, "Wait3": true, "StartProcess": true, "FindProcess": true}
	var found []string
	files := 0
	for path, file := range sources(t) {
		files++
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			assert.NotEqual(t, "os/exec", name, "%s: Wait, Run and Output of os/exec need statuses that the loop reaps", path)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && waits[sel.Sel.Name] {
				found = append(found, filepath.Base(path)+" "+sel.Sel.Name)
			}
			return true
		})
	}
	require.Greater(t, files, 15, "the test must read the sources of the program")
	assert.Equal(t, []string{"processes_linux.go Wait4"}, found)
}

// A lock would mean that a second goroutine uses the state.
func TestTheSupervisorHasNoLocks(t *testing.T) {
	for path, file := range sources(t) {
		if filepath.Base(filepath.Dir(path)) != "supervisor" {
			continue
		}
		for _, spec := range file.Imports {
			assert.NotEqual(t, `"sync"`, spec.Path.Value, path)
			assert.NotEqual(t, `"sync/atomic"`, spec.Path.Value, path)
		}
	}
}

func TestSignalsAreReceivedOnlyInUntil(t *testing.T) {
	var receivers []string
	for path, file := range sources(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "inbox" && f.Name.Name != "newLoop" {
					receivers = append(receivers, filepath.Base(path)+" "+f.Name.Name)
				}
				return true
			})
		}
	}
	for _, receiver := range receivers {
		assert.Equal(t, "loop.go until", receiver)
	}
	require.NotEmpty(t, receivers)
}

// sources returns the program's Go files without the tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() && d.Name() == "examples" { // they are other programs
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		files[abs], err = parser.ParseFile(token.NewFileSet(), path, nil, 0)
		return err
	})
	require.NoError(t, err)
	return files
}
