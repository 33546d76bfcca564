package probes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildCommand rejects characters such as $ and ~ only if they are unquoted, so splitWords must
// record for each byte of a word whether it was quoted.
func TestSplitWordsRecordsWhichBytesWereQuoted(t *testing.T) {
	for text, want := range map[string]string{ // q: quoted, .: not quoted
		`a'b'"c"d`: ".qq.",
		`\ab`:      "q.",
		`"\$x"`:    "qq",
		`"\~x"`:    "qqq", // the backslash stays, and is quoted too
		`'\'a`:     "q.",
		"\\\na":    ".",
	} {
		words, err := splitWords(text)
		require.NoError(t, err, text)
		require.Len(t, words, 1, text)
		got := ""
		for _, quoted := range words[0].quoted {
			got += map[bool]string{true: "q", false: "."}[quoted]
		}
		assert.Equal(t, want, got, text)
	}
}

func TestSplitWordsKeepsABackslashThatQuotesNothing(t *testing.T) {
	words, err := splitWords(`"\~" \~`)
	require.NoError(t, err)
	assert.Equal(t, []string{`\~`, "~"}, []string{words[0].text, words[1].text})
}

func TestWordsThatAShellWouldExpand(t *testing.T) {
	for text, want := range map[string]bool{
		"$HOME": true, "$Z": true, "$A": true, "$a": true, "$z": true, "$a_b": true, "$_x": true, "${X}": true, "$(id)": true, "x$x": true, "`id`": true, `'$'$x`: true,
		"$": false, "a$": false, "$1": false, "$[": false, "$^": false, "$@": false, "$|": false, "$~": false,
		`\$HOME`: false, "'$HOME'": false, "'`id`'": false, `"\$HOME"`: false, `$'x'`: false, "HOME": false, "": false, "$+": false, "{x": false, "(x": false, "_x": false,
	} {
		words, err := splitWords(text)
		require.NoError(t, err, text)
		var w word
		if len(words) > 0 {
			w = words[0]
		}
		assert.Equal(t, want, w.wouldExpand(), text)
	}
}
