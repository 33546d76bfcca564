package probes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseFindsKindAndName(t *testing.T) {
	tests := []struct {
		text       string
		use        Use
		kind, name string
	}{
		{"tcp://db:5432", ForWait, "tcp", "tcp://db:5432"},
		{"TCP://db:5432", ForWait, "tcp", "tcp://db:5432"},
		{"tcp://[::1]:80", ForWait, "tcp", "tcp://[::1]:80"},
		{"tcp://[fe80::1%25eth0]:80", ForWait, "tcp", "tcp://[fe80::1%25eth0]:80"},
		{"tcp://10.0.0.1:65535", ForEnd, "tcp", "tcp://10.0.0.1:65535"},
		{"tcp://my_db.svc.:1/", ForWait, "tcp", "tcp://my_db.svc.:1"},
		{"tcp://azAZ09-._:1", ForWait, "tcp", "tcp://azAZ09-._:1"},
		{"unix:///run/app.sock", ForWait, "unix", "unix:///run/app.sock"},
		{"unix:///run/app.sock", ForEnd, "unix", "unix://"},
		{"file:///data/ready%20now", ForWait, "file", "file:///data/ready%20now"},
		{"file://localhost/data", ForReady, "file", "file:///data"},
		{"http://auth/healthz", ForWait, "http", "http://auth/healthz"},
		{"http://auth", ForWait, "http", "http://auth"},
		{"https://u:CANARY@auth:8443/a/b?q=CANARY&x=y#CANARY", ForWait, "https", "https://auth:8443/a/b"},
		{"https://u:CANARY@auth:8443/CANARY?q=CANARY#CANARY", ForEnd, "https", "https://auth:8443"},
		{"http://[::1]:8080/x", ForStart, "http", "http://[::1]:8080"},
		{`http://auth/%20[]-._~:!$\&\'()*+,\;=?a+b%20[]/?#é`, ForWait, "http", "http://auth/%20[]-._~:!$&'()*+,;="},
		{"grpc://auth:50051", ForWait, "grpc", "grpc://auth:50051"},
		{"grpc://[::1]:1/a.b.C", ForWait, "grpc", "grpc://[::1]:1/a.b.C"},
		{"grpc://auth:1/a%20b/c", ForWait, "grpc", "grpc://auth:1/a%20b/c"},
		{"grpcs://auth:443/CANARY", ForEnd, "grpcs", "grpcs://auth:443"},
		{"ca=/ca cert=/c key=/k server-name=::1 insecure=false grpcs://auth:1", ForWait, "grpcs", "grpcs://auth:1"},
		{"cert=/both key=/both server-name=db.example. insecure=true https://auth", ForWait, "https", "https://auth"},
		{"dns://db.prod.svc.cluster.local.", ForWait, "dns", "dns://db.prod.svc.cluster.local."},
		{"dns://my_db/", ForEnd, "dns", "dns://my_db"},
		{`send='CANARY\r\n' expect='^\+OK' tcp://db:1`, ForWait, "tcp", "tcp://db:1"},
		{`send=\\x00 unix:///s`, ForEnd, "unix", "unix://"},
		{"header='Authorization: @/no/such/file' http://a/", ForWait, "http", "http://a/"}, // valid although the file is missing, because only an attempt reads it
		{"pg_isready -h db", ForWait, "command", "pg_isready"},
		{"/usr/bin/curl -H CANARY", ForEnd, "command", "curl"},
		{"sh -c 'echo $HOME; exit'", ForWait, "command", "sh"},
		{"a  b \t c", ForWait, "command", "a"},
		{"a b \\\n c", ForWait, "command", "a"},
		{`ls "\*" \* '~/x' \# x~`, ForWait, "command", "ls"},
		{"./x://y", ForWait, "command", "x…"},
		{"./a:b@c", ForWait, "command", "a…"},
		{"a@b", ForWait, "command", "…"},
		{"'/opt/My App/run'", ForWait, "command", "My…"},
		{`sh -c "a | b > c"`, ForWait, "command", "sh"},
		{"env NAME=value cmd", ForWait, "command", "env"},
		{"[ -f /x ]", ForWait, "command", "["},
		{"name='the database' tcp://db:5432", ForWait, "tcp", "the database"},
		{"  \n timeout=2s\n tcp://db:5432 \n", ForWait, "tcp", "tcp://db:5432"},
		{"match=^ok$ http://auth/", ForWait, "http", "http://auth/"},
		{"status=100-599 http://auth/", ForWait, "http", "http://auth/"},
		{"status=101 http://auth/", ForWait, "http", "http://auth/"},
		{"'header=A: b' header='A: c' http://auth/", ForWait, "http", "http://auth/"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			target, err := Parse(test.text, test.use)
			require.NoError(t, err)
			assert.Equal(t, test.kind, target.Kind)
			assert.Equal(t, test.name, target.Name)
			assert.Equal(t, test.use, target.Use)
			assert.NotNil(t, target.Probe)
		})
	}
}

func TestParseSetsOptionsAndDefaults(t *testing.T) {
	base := Target{Interval: time.Second, Successes: 1}
	with := func(change func(*Target)) Target { x := base; change(&x); return x }
	tests := []struct {
		text string
		use  Use
		want Target
	}{
		{"tcp://a:1", ForWait, with(func(x *Target) { x.Timeout = 3 * time.Second })},
		{"tcp://a:1", ForReady, with(func(x *Target) { x.Timeout = 3 * time.Second })},
		{"tcp://a:1", ForStart, base},
		{"tcp://a:1", ForEnd, with(func(x *Target) { x.Timeout = 10 * time.Second })},
		{"tcp://a:1", ForProbe, with(func(x *Target) { x.Timeout = time.Second })},
		{"interval=10ms successes=1 tcp://a:1", ForWait, with(func(x *Target) { x.Timeout, x.Interval = 3*time.Second, 10*time.Millisecond })},
		{"interval=1h tcp://a:1", ForWait, with(func(x *Target) { x.Timeout, x.Interval = 3*time.Second, time.Hour })},
		{"retries=0 tcp://a:1", ForStart, base},
		{"retries=2147483647 tcp://a:1", ForStart, with(func(x *Target) { x.Retries = 2147483647 })},
		{"timeout=0 tcp://a:1", ForEnd, with(func(x *Target) { x.TimeoutWritten = true })},
		{"timeout=1.5 tcp://a:1", ForWait, with(func(x *Target) { x.Timeout, x.TimeoutWritten = 1500*time.Millisecond, true })},
		{"interval=200ms within=1m successes=3 tcp://a:1", ForReady, with(func(x *Target) {
			x.Timeout, x.Interval, x.Within, x.Successes = 3*time.Second, 200*time.Millisecond, time.Minute, 3
		})},
		{"optional=30 tcp://a:1", ForWait, with(func(x *Target) { x.Timeout, x.Optional = 3*time.Second, 30*time.Second })},
		{"retries=2 tcp://a:1", ForStart, with(func(x *Target) { x.Retries = 2 })},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			got, err := Parse(test.text, test.use)
			require.NoError(t, err)
			test.want.Use, test.want.Kind, test.want.Name, test.want.Probe = test.use, "tcp", "tcp://a:1", got.Probe
			test.want.ReadsFiles = true // an attempt looks up the host a, and so may read /etc/hosts
			assert.Equal(t, test.want, got)
		})
	}
}

func TestParseSetsReadsFilesForTargetsThatMayBlockAThread(t *testing.T) {
	for text, reads := range map[string]bool{
		"tcp://127.0.0.1:1": false, "http://[::1]/": false, "http://localhost/": false, "redis://127.0.0.1": false, "true": false,
		"tcp://db:1": true, "http://db/": true, "redis://db": true, "https://127.0.0.1/": true, "grpcs://127.0.0.1:1": true,
		"file:///": true, "unix:///run/x": true, "dns://db": true, "header='A: @/token' http://127.0.0.1/": true,
	} {
		got, err := Parse(text, ForWait)
		require.NoError(t, err)
		assert.Equal(t, reads, got.ReadsFiles, text)
	}
}

func TestParseErrorsNameTheErrorAndTheCorrection(t *testing.T) {
	tests := []struct {
		text string
		use  Use
		want string // parts of the message, separated by |
	}{
		{"", ForWait, "empty target|tcp://HOST:PORT"},
		{"  \n", ForWait, "empty target"},
		{"''", ForWait, "command is empty"},
		{"timeout=2s", ForWait, "options without a target"},
		{"nope=1", ForWait, "options without a target"},
		{"gopher://h/x", ForWait, "unknown scheme gopher://|tcp://HOST:PORT|https://"},
		{"natss://u:CANARY@h:1/x", ForWait, "unknown scheme natss://: over TLS there are https:// grpcs:// rediss://|tcp://HOST:PORT"},
		{"jdbc:postgresql:CANARY", ForWait, "jdbc: without //|jdbc:postgresql://HOST"},
		{"jdbc:redis://h/x", ForWait, "unknown scheme jdbc:redis://"},
		{"mysql:x://u:CANARY@h/x", ForWait, "mysql: without //"},
		{"env:DATABASE_URL", ForWait, "env:DATABASE_URL: there are no environment variables here"},
		{"http+unix://CANARY", ForWait, "unknown scheme http+unix://"},
		{"command://x", ForWait, "unknown scheme command://"},
		{"--timeout=2s http://a/", ForWait, "start with a dash|tcp://HOST:PORT"},
		{"Timeout=2s http://a/", ForWait, "Timeout= is not an option|write timeout="},
		{"header=Authorization:Basic CANARY= http://a/", ForWait, "header= is followed by more words|header='K: V'"},
		{"header=Authorization: Bearer CANARY http://a/?b", ForWait, "header= is for a URL|quote a value"},
		{"header=A: CANARY:0 http://a/?b", ForWait, "header= is for a URL|quote a value"},
		{"body=a CANARY& http://a/", ForWait, "body= is for a URL"},
		{"expect=a CANARY", ForWait, "expect= is for a URL"},
		{"match=a CANARY", ForWait, "match= is for a URL"},
		{"header=A: CANARY:1,b:2", ForWait, "header= is for a URL"},
		{"send=AUTH CANARY; tcp://a:1", ForWait, "send= is for a URL"},
		{"tcp://a:1,tcp://b:2", ForWait, "several hosts|target for each"},
		{"http://a,b/", ForWait, "several hosts"},
		{"http://a:80:8080/", ForWait, "more than one port"},
		{"http://user%3ACANARY%40a/", ForWait, "not allowed in a host name"},
		{"db:5432", ForWait, `"db:5432" has no scheme|tcp://db:5432`},
		{"[::1]:5432", ForWait, "tcp://[::1]:5432"},
		{"user:CANARY@db:5432", ForWait, "without a scheme"},
		{"user:CANARY@db/CANARY", ForWait, "without a scheme"},
		{"http:/auth/", ForWait, "http: without //|http://HOST"},
		{"file:/data", ForWait, "file:///PATH"},
		{"tcp://db", ForWait, "no port|tcp://HOST:PORT"},
		{"tcp://db:", ForWait, "no port"},
		{"tcp://:80", ForWait, "no host"},
		{"tcp://db:http", ForWait, "not a number"},
		{"tcp://db:-1", ForWait, "not a number"},
		{"tcp://db:0", ForWait, "not in 1-65535"},
		{"tcp://db:65536", ForWait, "not in 1-65535"},
		{"tcp://db:99999999999999999999999", ForWait, "not in 1-65535"},
		{"tcp://db:80/CANARY", ForWait, "no path"},
		{"tcp://user:CANARY@db:80", ForWait, "no user"},
		{"tcp://::1:80", ForWait, "brackets"},
		{"tcp://[db]:80", ForWait, "not an IPv6 address"},
		{"tcp://[::1:80", ForWait, "tcp://[::1]:80"},
		{"tcp://d%CANARY:80", ForWait, "tcp://…: a character that is not allowed in a host name"},
		{"tcp://CANARY=b:80", ForWait, "tcp://…: a character that is not allowed in a host name"},
		{"tcp://CANARY:0/x@h", ForWait, "tcp://…: the port is not in 1-65535"},
		{"tcp://CANARY x@h:1", ForWait, "tcp://… has no port"},
		{"'tcp://a{b:80'", ForWait, "tcp://a{b:80: a character that is not allowed in a host name"},
		{"'tcp://a`b:80'", ForWait, "not allowed in a host name"},
		{"'tcp://a[b:80'", ForWait, "not allowed in a host name"},
		{"'tcp://a^b:80'", ForWait, "not allowed in a host name"},
		{"'tcp://a~b:80'", ForWait, "not allowed in a host name"},
		{"tcp://1:2:3:4:80", ForWait, "needs brackets"},
		{"tcp://[a:b]:80", ForWait, "not an IPv6 address"},
		{"tcp://[10.0.0.1]:80", ForWait, "not an IPv6 address"},
		{"tcp://[fe80::1%eth0]:0", ForWait, "tcp://[fe80::1%eth0]:0: the port"},
		{"tcp://a:1 tcp://b:2", ForWait, "one URL"},
		{"tcp://a:1 timeout=2s", ForWait, "timeout= is after the target"},
		{"tcp://$HOST:80", ForWait, "not expanded"},
		{"name=`id` tcp://a:80", ForWait, "name=|not expanded"},
		{"unix://run/x", ForWait, "absolute|unix:///PATH"},
		{"unix:///" + strings.Repeat("x", 107), ForWait, "at most 107"},
		{"file://host/x", ForWait, "file:///PATH"},
		{"file:///a?b", ForWait, "%3F"},
		{"file:///a%zz", ForWait, "%25"},
		{"file:///a%00", ForWait, "NUL"},
		{"http://u:CANARY@auth:99999/CANARY?CANARY", ForWait, "1-65535"},
		{"http://u:CA/NARY@auth/", ForWait, "not a number"},
		{"http://u:12/CANARY@auth/", ForWait, "%40"}, // a slash in a password
		{"http://CANARY#x@auth/", ForWait, "%40"},
		{"http:///x", ForWait, "no host"},
		{"http://auth/%zz?CANARY", ForWait, "escaped"},
		{"'http://auth/\x01CANARY'", ForWait, "control character"},
		{"'http://auth/?CANARY b'", ForWait, "http:// with a space in its path or query: write %20, or + in a query"},
		{"'https://auth/CANARY b'", ForEnd, "https:// with a space|%20"},
		{`http://auth/\ x`, ForWait, "a space"},
		{"'http://auth/?CANARY=\"'", ForWait, `a " in its path or query: write %22`},
		{"'http://auth/?<CANARY>'", ForWait, "a <|write %3C"},
		{"'http://auth/?>CANARY'", ForWait, "a >|write %3E"},
		{"'http://auth/?CANARY`'", ForWait, "a `|write %60"},
		{"http://auth/{CANARY}", ForWait, "a {|write %7B"},
		{"http://auth/?CANARY}", ForWait, "a }|write %7D"},
		{"'http://auth/?CANARY|'", ForWait, "a ||write %7C"},
		{`'http://auth/?CANARY\'`, ForWait, `a \|write %5C`},
		{"http://auth/?CANARY^", ForWait, "a ^|write %5E"},
		{"http://auth/?CANARY=é", ForWait, "not ASCII|%C3%A9"},
		{"http://auth/CANARY\xff", ForWait, "not ASCII"},
		{"'http://auth/?CANARY\n'", ForWait, "control character|%0A"},
		{"http://auth/?CANARY\x7f", ForWait, "control character"},
		{"'http://u CANARY@auth/'", ForWait, "not a URL|the user"},
		{"interval=1s tcp://a:1", ForEnd, "interval= is for --wait and --ready only, not for --drain"},
		{"within=1s tcp://a:1", ForStart, "within="},
		{"successes=1 tcp://a:1", ForStart, "successes="},
		{"optional=1s tcp://a:1", ForReady, "optional= is for --wait only"},
		{"retries=1 tcp://a:1", ForWait, "retries="},
		{"within=1s optional=2s tcp://a:1", ForWait, "cannot be combined"},
		{"optional=0 tcp://a:1", ForWait, "optional= needs a limit"},
		{"timeout=-1s tcp://a:1", ForWait, "timeout=|negative|timeout=2s"},
		{"timeout= tcp://a:1", ForWait, "not a duration"},
		{"interval=x tcp://a:1", ForWait, "not a duration"},
		{"within=x tcp://a:1", ForWait, "not a duration"},
		{"optional=x tcp://a:1", ForWait, "not a duration"},
		{"timeout=9999999999999 tcp://a:1", ForWait, "not a duration"},
		{"interval=0 tcp://a:1", ForWait, "interval=|10ms"},
		{"interval=9ms tcp://a:1", ForWait, "interval=|10ms"},
		{"interval=61m tcp://a:1", ForWait, "interval=|1h0m0s"},
		{"timeout=0.00000000001 tcp://a:1", ForWait, "timeout=|less than a nanosecond"},
		{"timeout=-5 tcp://a:1", ForWait, "negative"},
		{"successes=0 tcp://a:1", ForWait, "successes=|at least 1"},
		{"successes=2147483648 tcp://a:1", ForWait, "successes="},
		{"retries=-1 tcp://a:1", ForEnd, "retries=|at least 0"},
		{"retries=x tcp://a:1", ForEnd, "retries="},
		{"name= tcp://a:1", ForWait, "name="},
		{"name='a\nb' tcp://a:1", ForWait, "control characters"},
		{"timeout=1 timeout=2 tcp://a:1", ForWait, "timeout= is given twice"},
		{"status=200 tcp://a:1", ForWait, "status= is for http and https, not for tcp"},
		{"status=200 true", ForWait, "not for command"},
		{"tiemout=2s tcp://a:1", ForWait, "unknown option tiemout=|timeout=|env tiemout=value"},
		{"PGPASSWORD=CANARY pg_isready", ForWait, "env PGPASSWORD=value cmd"},
		{"status=600 http://a/", ForWait, "status="},
		{"status=99 http://a/", ForWait, "status="},
		{"status=103 http://a/", ForWait, "status=|101"},
		{"status=102-199 http://a/", ForWait, "status="},
		{"status=100 http://a/", ForWait, "status="},
		{"files://h/x", ForWait, "unknown scheme files://: known are"},
		{"unixs://h/x", ForWait, "unknown scheme unixs://: known are"},
		{"dnss://h/x", ForWait, "unknown scheme dnss://: known are"},
		{"env://CANARY", ForWait, "env: is not followed by the name of a variable"},
		{"9p://CANARY", ForWait, "invalid scheme before ://: known are"},
		{"timeout:2s tcp://a:1", ForWait, "timeout: is not the form of an option: write timeout=2s"},
		{`'["CANARY"]'`, ForWait, "JSON is not supported"},
		{`'{"CANARY":1}'`, ForWait, "JSON is not supported"},
		{"hooks.example.com/CANARY", ForWait, "hooks.example.com/… has no scheme: write http://hooks.example.com/…"},
		{"localhost/CANARY", ForWait, "localhost/… has no scheme"},
		{"' CANARY' x", ForWait, "one word with blanks"},
		{"name=db FOO=bar cmd", ForWait, "FOO= is not an option: for an environment variable write env FOO=value cmd"},
		{"method=HEAD match=ok http://a/", ForWait, "match=|method=HEAD"},
		{`header='Host: a"b' http://a/`, ForWait, "header= Host: write it once"},
		{"status=300-200 http://a/", ForWait, "status="},
		{"status=2xx http://a/", ForWait, "status=|200-299,401"},
		{"status= http://a/", ForWait, "status="},
		{"method=post http://a/", ForWait, "method=POST"},
		{"method=CONNECT http://a/", ForWait, "method="},
		{"header=CANARY http://a/", ForWait, "header="},
		{"header='X: a\nCANARY' http://a/", ForWait, "header= X|control character"},
		{"header='Content-Length: 5' http://a/", ForWait, "Content-Length"},
		{"match='(CANARY' http://a/", ForWait, "match="},
		{"header='Host: a @/b' http://a/", ForWait, "header= Host: write it once"},
		{"header='X: CANARY\t\n @/b' http://a/", ForWait, "header= X: a control character"},
		{"header='Host: @/a' header='Host: b' http://a/", ForWait, "header= Host: write it once"},
		{"b1:9092,b2.prod:9093", ForWait, "\"b1:9092,b2.prod:9093\" has no scheme: write for example kafka://b1:9092,b2.prod:9093"},
		{"grpc://auth", ForWait, "no port"},
		{"grpc://:1", ForWait, "no host"},
		{"grpc://u:CANARY@auth:1/x", ForWait, "no user"},
		{"grpc://u:CAN/ARY@auth:1/x", ForWait, "no user|%40"},
		{"grpc://auth:1?CANARY", ForWait, "no query"},
		{"grpc://auth:1/x#CANARY", ForWait, "no query|%23"},
		{"grpc://auth:1/%zz", ForWait, "%25"},
		{"grpc://auth:1/%ff", ForWait, "UTF-8"},
		{"grpc://auth:1/" + strings.Repeat("x", 1025), ForWait, "1025 bytes"},
		{"method=GET grpc://auth:1", ForWait, "method= is for http and https, not for grpc"},
		{"ca=/ca grpc://auth:1", ForWait, "ca= is for https, grpcs,|not for grpc"},
		{"insecure=true http://auth", ForWait, "insecure= is for https, grpcs,|not for http"},
		{"ca=ca.pem https://auth", ForWait, "ca= needs an absolute path"},
		{"ca= https://auth", ForWait, "ca= needs an absolute path"},
		{"cert=/c https://auth", ForWait, "cert= and key= need each other"},
		{"key=/k grpcs://auth:1", ForWait, "cert= and key= need each other"},
		{"cert=c key=k grpcs://auth:1", ForWait, "cert= needs an absolute path|key= needs an absolute path"},
		{"server-name= https://auth", ForWait, "server-name= is not a host name"},
		{"server-name=a/b https://auth", ForWait, "server-name= is not a host name"},
		{"insecure=yes https://auth", ForWait, "insecure= is neither true nor false"},
		{"insecure= https://auth", ForWait, "insecure= is neither true nor false"},
		{"insecure=true ca=/ca https://auth", ForWait, "cannot be combined"},
		{"insecure=true insecure=true https://auth", ForWait, "given twice"},
		{`send='CANARY\q' tcp://a:1`, ForWait, "send=|backslash"},
		{`send='CANARY\' tcp://a:1`, ForWait, "send=|backslash"},
		{"send= tcp://a:1", ForWait, "send= is empty"},
		{"expect='(CANARY' tcp://a:1", ForWait, "expect= is not a regular expression"},
		{"send=CANARY http://a", ForWait, "send= is for tcp and unix, not for http"},
		{"dns://", ForWait, "no name"},
		{"dns://10.0.0.1", ForWait, "is an address"},
		{"dns://[::1]", ForWait, "is an address"},
		{"dns://::1", ForWait, "is an address"},
		{"dns://db:53", ForWait, "no port"},
		{"dns://server/db", ForWait, "no path"},
		{"dns://u:CANARY@db", ForWait, "no user"},
		{"dns://d%b", ForWait, "not allowed in a host name"},
		{"dns:db", ForWait, "dns: without //|dns://NAME"},
		{"a && b", ForWait, "unquoted & in the command a|sh -c"},
		{"a; b", ForWait, "unquoted ;"},
		{"a | b CANARY", ForWait, "unquoted |"},
		{"a > /f", ForWait, "unquoted >"},
		{"a < /f", ForWait, "unquoted <"},
		{"ls *.go", ForWait, "unquoted *"},
		{"ls ?", ForWait, "unquoted ?"},
		{"echo $HOME", ForWait, "unquoted $"},
		{"echo `id`", ForWait, "unquoted `"},
		{"(a)", ForWait, "unquoted ( )"},
		{"ls ~/x", ForWait, "unquoted ~"},
		{"a # b", ForWait, "unquoted #"},
		{"a\nb", ForWait, "several lines"},
		{"a \n b", ForWait, "several lines"},
		{"a 'b", ForWait, "unclosed quote"},
		{`a "b`, ForWait, "unclosed quote"},
		{`a \`, ForWait, "backslash at the end"},
		{"a \x00", ForWait, "NUL"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			_, err := Parse(test.text, test.use)
			require.Error(t, err)
			for _, part := range strings.Split(test.want, "|") {
				assert.ErrorContains(t, err, part)
			}
			assert.NotContains(t, err.Error(), "CANARY")
			for _, err := range unwrapErrs(err) {
				assert.True(t, namesWord(err.Error(), test.text), err)
			}
		})
	}
}

func TestParseReportsAllErrorsAtOnce(t *testing.T) {
	_, err := Parse("timeout=x retries=1 nope=1 A=b status=1 method=m header=h match=( http://h:0/ method=GET", ForWait)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	for _, word := range []string{"timeout=", "retries=", "nope=", "env A=", "status=", "method=", "header=", "match=", "1-65535", "after the target"} {
		assert.ErrorContains(t, err, word)
	}
	assert.Len(t, joined.Unwrap(), 10)
}

// This test compares whole messages, so it also fails if a message has superfluous words or if
// Parse reports more errors than expected.
func TestParseErrorsSayNothingMore(t *testing.T) {
	for text, want := range map[string]string{
		"db:5432/":                 `"db:5432/" has no scheme: write tcp://db:5432`,
		"tcp://db":                 "tcp://db has no port: write tcp://HOST:PORT",
		"postgres://db:0":          "postgres://db:0: the port is not in 1-65535",
		"a && b":                   "unquoted & in the command a: no shell is used: write sh -c '…', or quote it",
		"tcp://a:1 timeout=2s x y": "timeout= is after the target: write it before the target\nmore words after the URL: a target is one URL, or one command; quote spaces that belong to it",
		"within=1 timeout:2s":      "timeout: is not the form of an option: write timeout=2s",
		"status=204 -x":            "a command does not start with a dash: write a target, such as tcp://HOST:PORT, http://HOST/PATH or a command",
		"timeout='25 sec' true":    `timeout= "25 sec" is not a duration, like 30s, 1m30s or a number of seconds: write for example timeout=2s`,
		"timeout='" + strings.Repeat("1 ", 20) + "' true":  `timeout= "` + strings.Repeat("1 ", 20) + `" is not a duration, like 30s, 1m30s or a number of seconds: write for example timeout=2s`,
		"timeout='" + strings.Repeat("1 ", 20) + "1' true": `timeout= "1…" is not a duration, like 30s, 1m30s or a number of seconds: write for example timeout=2s`,
		"timeout='x y' true":                               `timeout= "x…" is not a duration, like 30s, 1m30s or a number of seconds: write for example timeout=2s`,
	} {
		_, err := Parse(text, ForWait)
		assert.EqualError(t, err, want, text)
	}
	_, err := Parse("nope=1 tcp://a:1", ForWait)
	require.Error(t, err)
	assert.Equal(t, 1, strings.Count(err.Error(), " status= "), "each option once: %v", err)
	_, err = Parse("nope://a", ForWait)
	require.Error(t, err)
	assert.Equal(t, 1, strings.Count(err.Error(), " http:// "), err)
	assert.NotContains(t, err.Error(), "env://")
}

func TestSplitWordsFollowsTheQuotingRulesOfTheShell(t *testing.T) {
	tests := map[string][]string{
		`a b  c`:              {"a", "b", "c"},
		`a'b c'd`:             {"ab cd"},
		`'a\b'`:               {`a\b`},
		`"a\b\$\"\\\` + "`\"": {"a\\b$\"\\`"},
		`a\ b`:                {"a b"},
		"a\\\nb":              {"ab"},
		"a \\\n b":            {"a", "b"},
		"\"a\\\nb\"":          {"ab"},
		`'' ""`:               {"", ""},
		`"a'b"`:               {"a'b"},
		"a\tb\r\nc":           {"a", "b", "c"},
		`"ä"\ö`:               {"äö"},
	}
	for text, want := range tests {
		words, err := splitWords(text)
		require.NoError(t, err, text)
		var got []string
		for _, w := range words {
			got = append(got, w.text)
			assert.Len(t, w.quoted, len(w.text))
		}
		assert.Equal(t, want, got, text)
	}
}

func TestParseDurationAcceptsGoDurationsAndSeconds(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, ".5": 500 * time.Millisecond,
		"1m30s": 90 * time.Second, "-0": 0, "200ms": 200 * time.Millisecond, "9223372036": 9223372036 * time.Second,
	}
	for s, want := range good {
		got, err := ParseDuration(s)
		assert.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", " ", "-1", "-1s", "1e3", ".", "1.2.3", "5m3", "9223372037", "99999999999999999999", "inf", "1 s", "1d"} {
		d, err := ParseDuration(s)
		assert.Error(t, err, s)
		assert.Zero(t, d, s)
	}
}

// Parse must not panic, whatever the text. Each error that it returns must name a part of the
// text (see namesWord). If every word of a valid text is put in quotes, Parse must return the
// same target. The name of a target must be a valid value of name=.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"timeout=2s status=204 https://auth/healthz", "tcp://[::1]:80", "sh -c 'exit 1'", "a && b", `"a\"`, "db:5432",
		"http://u:p@h:80/x?y#z", "grpc://h:1/a%20b", "ca=/a cert=/b key=/c server-name=d insecure=x grpcs://[::1%25a]:1", "dns://a", `send='\x00' expect=^a tcp://a:1`, "unix:///a%20b", "header='A: b' body=x match=^a$ http://h", "x=1", "'", "\\", "file:///%",
		"name='a b' interval=1s successes=2 within=9 postgres://u@h/d?sslmode=require", "retries=2 redis://h", "optional=1 memcached://[::1]", "ftp://x", "ca=/a 'mongodb+srv://c.example/?srvServiceName=x&tls=false'", "'postgres://h/?sslmode=verify-ca&sslrootcert=/a'", "kafka+ssl://h", "a\nb", "user:p@h", "./user:p@h", "tcp:a", "a=b c", "{0", "localhost/x", "a.example/x", "9p://x", "env:X",
	} {
		for use := range 5 {
			f.Add(text, use)
		}
	}
	f.Fuzz(func(t *testing.T, text string, use int) {
		u := Use(uint(use) % 5)
		target, err := Parse(text, u)
		if err != nil {
			for _, err := range unwrapErrs(err) {
				require.True(t, namesWord(err.Error(), text), "%q: %v", text, err)
			}
			return
		}
		require.NotEmpty(t, target.Name)
		require.NotNil(t, target.Probe)
		require.NotEmpty(t, target.Kind)
		require.GreaterOrEqual(t, target.Successes, 1)
		require.GreaterOrEqual(t, target.Interval, minDelay)
		require.GreaterOrEqual(t, target.Timeout, time.Duration(0))

		words, err := splitWords(text)
		require.NoError(t, err)
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, quote(w.text))
		}
		again, err := Parse(strings.Join(quoted, " "), u)
		require.NoError(t, err, "%q", text)
		if target.Kind == "command" {
			require.Equal(t, target.Probe, again.Probe)
		}
		target.Probe, again.Probe = nil, nil // the probes of other kinds are not compared, because some contain functions, which are never equal
		require.Equal(t, target, again)

		named, err := Parse("name="+quote(target.Name)+" tcp://a:1", u)
		require.NoError(t, err, "the name of a target must be valid for name=")
		require.Equal(t, target.Name, named.Name)
	})
}

// unwrapErrs returns the errors that errors.Join has joined.
func unwrapErrs(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// namesWord reports whether a message names a part of the text (an option, a scheme, the
// command, or an address without a scheme), or is one of the messages about the whole text.
func namesWord(message, text string) bool {
	for _, whole := range []string{
		"empty target", "options without a target", "the command is empty", "more words after the URL", "USER:PASSWORD@HOST without a scheme",
		"invalid scheme before ://", "a command does not start with a dash", "an unclosed quote", "a backslash at the end", "a NUL byte", "JSON is not supported here",
	} {
		if strings.HasPrefix(message, whole) {
			return true
		}
	}
	words, err := splitWords(text)
	if err != nil {
		return false
	}
	for _, w := range words {
		name, _, option := strings.Cut(w.text, "=")
		scheme, _, url := strings.Cut(w.text, ":")
		if option && strings.Contains(message, name+"=") || url && strings.Contains(message, strings.ToLower(scheme)+":") ||
			strings.Contains(message, "the command "+CommandName(w.text)) || strings.HasPrefix(message, fmt.Sprintf("%q has no scheme", w.text)) ||
			strings.HasPrefix(message, CommandPath(w.text)+" has no scheme") {
			return true
		}
	}
	return false
}

// splitWords must remove the quotes that the function quote adds, and change nothing else.
func FuzzSplitQuotedWords(f *testing.F) {
	f.Add("a b", "'")
	f.Add(`\`, "\n")
	f.Add("", `"$x"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		words, err := splitWords(quote(a) + " " + quote(b))
		if strings.ContainsRune(a+b, 0) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Len(t, words, 2)
		require.Equal(t, []string{a, b}, []string{words[0].text, words[1].text})
		require.Empty(t, words[0].unquotedChars(a)+words[1].unquotedChars(b), "every character is quoted")
	})
}

// quote returns s in single quotes for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// The test puts a secret into URLs, options and commands, at places where a secret may be, next
// to text from the fuzzer. No name or error may contain the secret.
func FuzzSecrets(f *testing.F) {
	const canary = "c4n4ry"
	f.Add("host:80", "/p", "x", 0)
	f.Add("host:99999", "/%zz", "'", 3)
	f.Add("h@i:http", "?a", "\n", 3)
	f.Add("[::1", "#", "(", 1)
	f.Add("000:\\0001", "", "#", 0)
	f.Add("h", "/%40", "/", 0)
	f.Fuzz(func(t *testing.T, host, path, odd string, use int) {
		u := Use(uint(use) % 5)
		if u.Hook() {
			path += "/" + canary
		}
		for _, text := range []string{
			"http://user:" + canary + odd + "@" + host + path + "?q=" + canary + odd + "#" + canary,
			"https://" + canary + odd + "@" + host + "/?" + canary,
			"tcp://user:" + canary + odd + "@" + host,
			"user:" + canary + "@" + host + path,
			"header=" + quote("A: "+canary+odd) + " body=" + quote(canary+odd) + " http://" + host + "/",
			"header=" + quote(canary+odd) + " http://" + host + "/",
			"cmd " + canary + odd + " && " + canary,
			"http://" + host + "/ " + canary + odd,
			"grpc://user:" + canary + odd + "@" + host + path,
			"grpcs://" + host + "/?" + canary + odd,
			"dns://user:" + canary + odd + "@" + host,
			"send=" + quote(canary+odd) + " expect=" + quote(canary+odd) + " tcp://" + host,
			"send=" + quote(canary+odd) + " " + host,
			"header=A: " + canary + odd + " http://h/?x&y=" + host,
			"body=a " + canary + odd + " ; https://h/" + path,
			"send=a " + canary + odd + "= tcp://" + host,
			"match=" + quote(canary+odd) + " http://" + host + "/",
			"match=" + canary + odd + " tcp://" + host,
			"postgres://user:" + canary + odd + "@" + host + "/db?password=" + canary + odd + "&sslmode=require",
			"jdbc:mysql://" + host + "/db?user=u&password=" + canary + odd,
			"mongodb+srv://user:" + canary + odd + "@" + host + "/?authSource=" + odd,
			"redis://:" + canary + odd + "@" + host + "/0",
			"amqp://u:" + canary + odd + "@a,b:" + host,
			"nats://" + canary + odd + "@" + host,
		} {
			if strings.Contains(host+odd, canary) || !u.Hook() && strings.Contains(path, canary) {
				t.Skip()
			}
			if strings.Contains(text, "/ "+canary) && strings.ContainsAny(host, "'\"\\") {
				continue // a quote in host may quote the space after the slash: then the secret is a part of the path, and the name of a target may show the path
			}
			target, err := Parse(text, u)
			if err != nil {
				require.NotContains(t, err.Error(), canary, "%q", text)
				continue
			}
			require.NotContains(t, target.Name, canary, "%q", text)
		}
	})
}
