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

func TestServerMemcachedIsReadyWithAnyAuthenticationAndLogsNothing(t *testing.T) {
	memcached := findProgram(t, "memcached", "/usr/bin/memcached")
	a := accountOf(t, "memcache")
	port := unusedPort(t)
	url := "memcached://127.0.0.1:" + port
	assertRefused(t, url)
	sasl := filepath.Dir(a.write(t, "memcached.conf", "mech_list: plain\n"))
	const maxConns = 40
	for _, extra := range [][]string{nil, {"-c", strconv.Itoa(maxConns)}, {"-Y", a.write(t, "auth", "u:hunter2\n")}, {"-S"}} {
		w := startWaiting(t, url)
		w.waitFor("connection refused")
		cmd := a.command(append([]string{memcached, "-l", "127.0.0.1", "-p", port}, extra...)...)
		cmd.Env = append(cmd.Env, "SASL_CONF_PATH="+sasl)
		d := startCommand(t, cmd)
		w.waitFor("ready")
		probeSeveralTimes(t, url)
		for i := 0; extra != nil && extra[0] == "-c"; i++ {
			if _, first := sendAndReceive(t, port, "version\r\n"); strings.HasPrefix(first, "ERROR Too many") {
				probeSeveralTimes(t, url)
				break
			}
			require.Less(t, i, maxConns)
		}
		d.stop()
		d.waitForLogEnd()
		assert.Empty(t, slices.DeleteFunc(d.linesSince(0), func(line string) bool { return strings.Contains(line, "SASL") || strings.Contains(line, a.dir) }))
	}
}
