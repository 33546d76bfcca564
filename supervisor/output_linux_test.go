package supervisor

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A line is split in the same way, whether its newline arrives with it or later.
func TestLongLinesAreSplit(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	text := "a\n\n" + x(maxLine) + "\n" + x(maxLine+1) + "\n" + x(2*maxLine+3) + "\nlast"
	want := []string{"a", "", x(maxLine), x(maxLine), "x", x(maxLine), x(maxLine), "xxx", "last"}
	for _, size := range []int{1, 1000, maxLine, 3 * maxLine, len(text)} {
		var got []string
		c := newCopier(nil, func(line []byte) { got = append(got, string(line)) })
		for piece := range slices.Chunk([]byte(text), size) {
			c.add(bytes.Clone(piece))
		}
		c.endLine()
		assert.Equal(t, want, got, "read in pieces of %d bytes", size)
	}
}
