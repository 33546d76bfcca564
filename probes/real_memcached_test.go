package probes

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerMemcached(t *testing.T) {
	memcached := program(t, "memcached", "/usr/bin/memcached")
	a := accountOf(t, "memcache")
	port := unusedPort(t)
	url := "memcached://127.0.0.1:" + port
	isRefused(t, url)
	sasl := filepath.Dir(a.write(t, "memcached.conf", "mech_list: plain\n"))
	const full = 40
	for _, extra := range [][]string{nil, {"-c", strconv.Itoa(full)}, {"-Y", a.write(t, "auth", "u:hunter2\n")}, {"-S"}} {
		w := wait4(t, url)
		w.hears(notThere)
		cmd := a.command(append([]string{memcached, "-l", "127.0.0.1", "-p", port}, extra...)...)
		cmd.Env = append(cmd.Env, "SASL_CONF_PATH="+sasl)
		d := startCommand(t, cmd)
		w.hears("yes")
		several(t, url)
		for i := 0; extra != nil && extra[0] == "-c"; i++ {
			if _, first := say(t, port, "version\r\n"); strings.HasPrefix(first, "ERROR Too many") {
				several(t, url)
				break
			}
			require.Less(t, i, full)
		}
		d.stop()
		d.logEnds()
		assert.Empty(t, slices.DeleteFunc(d.since(0), func(line string) bool { return strings.Contains(line, "SASL") || strings.Contains(line, a.dir) }))
	}
}
