package probes

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseTargets(t *testing.T) {
	tests := []struct {
		text       string
		use        Use
		kind, name string
	}{
		{"tcp://db:5432", Wait, "tcp", "tcp://db:5432"},
		{"TCP://db:5432", Wait, "tcp", "tcp://db:5432"},
		{"tcp://[::1]:80", Wait, "tcp", "tcp://[::1]:80"},
		{"tcp://[fe80::1%25eth0]:80", Wait, "tcp", "tcp://[fe80::1%25eth0]:80"},
		{"tcp://10.0.0.1:65535", End, "tcp", "tcp://10.0.0.1:65535"},
		{"tcp://my_db.svc.:1/", Wait, "tcp", "tcp://my_db.svc.:1"},
		{"unix:///run/app.sock", Wait, "unix", "unix:///run/app.sock"},
		{"unix:///run/app.sock", End, "unix", "unix://"},
		{"file:///data/ready%20now", Wait, "file", "file:///data/ready%20now"},
		{"file://localhost/data", Ready, "file", "file:///data"},
		{"http://auth/healthz", Wait, "http", "http://auth/healthz"},
		{"http://auth", Wait, "http", "http://auth"},
		{"https://u:CANARY@auth:8443/a/b?q=CANARY&x=y#CANARY", Wait, "https", "https://auth:8443/a/b"},
		{"https://u:CANARY@auth:8443/CANARY?q=CANARY#CANARY", End, "https", "https://auth:8443"},
		{"http://[::1]:8080/x", Begin, "http", "http://[::1]:8080"},
		{"grpc://auth:50051", Wait, "grpc", "grpc://auth:50051"},
		{"grpc://[::1]:1/a.b.C", Wait, "grpc", "grpc://[::1]:1/a.b.C"},
		{"grpc://auth:1/a%20b/c", Wait, "grpc", "grpc://auth:1/a%20b/c"},
		{"grpcs://auth:443/CANARY", End, "grpcs", "grpcs://auth:443"},
		{"ca=/ca cert=/c key=/k server-name=::1 insecure=false grpcs://auth:1", Wait, "grpcs", "grpcs://auth:1"},
		{"cert=/both key=/both server-name=db.example. insecure=true https://auth", Wait, "https", "https://auth"},
		{"dns://db.prod.svc.cluster.local.", Wait, "dns", "dns://db.prod.svc.cluster.local."},
		{"dns://my_db/", End, "dns", "dns://my_db"},
		{`send='CANARY\r\n' expect='^\+OK' tcp://db:1`, Wait, "tcp", "tcp://db:1"},
		{`send=\\x00 unix:///s`, End, "unix", "unix://"},
		{"header='Authorization: @/no/such/file' http://a/", Wait, "http", "http://a/"}, // read when asked
		{"pg_isready -h db", Wait, "command", "pg_isready"},
		{"/usr/bin/curl -H CANARY", End, "command", "curl"},
		{"sh -c 'echo $HOME; exit'", Wait, "command", "sh"},
		{`sh -c "a | b > c"`, Wait, "command", "sh"},
		{"env NAME=value cmd", Wait, "command", "env"},
		{"[ -f /x ]", Wait, "command", "["},
		{"name='the database' tcp://db:5432", Wait, "tcp", "the database"},
		{"  \n timeout=2s\n tcp://db:5432 \n", Wait, "tcp", "tcp://db:5432"},
		{"match=^ok$ http://auth/", Wait, "http", "http://auth/"},
		{"'header=A: b' header='A: c' http://auth/", Wait, "http", "http://auth/"},
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

func TestParseOptions(t *testing.T) {
	base := Target{Interval: time.Second, Successes: 1}
	with := func(change func(*Target)) Target { x := base; change(&x); return x }
	tests := []struct {
		text string
		use  Use
		want Target
	}{
		{"tcp://a:1", Wait, with(func(x *Target) { x.Timeout = 3 * time.Second })},
		{"tcp://a:1", Ready, with(func(x *Target) { x.Timeout = 3 * time.Second })},
		{"tcp://a:1", Begin, base},
		{"tcp://a:1", End, with(func(x *Target) { x.Timeout = 10 * time.Second })},
		{"timeout=0 tcp://a:1", End, with(func(x *Target) { x.TimeoutWritten = true })},
		{"timeout=1.5 tcp://a:1", Wait, with(func(x *Target) { x.Timeout, x.TimeoutWritten = 1500*time.Millisecond, true })},
		{"interval=200ms within=1m successes=3 tcp://a:1", Ready, with(func(x *Target) {
			x.Timeout, x.Interval, x.Within, x.Successes = 3*time.Second, 200*time.Millisecond, time.Minute, 3
		})},
		{"optional=30 tcp://a:1", Wait, with(func(x *Target) { x.Timeout, x.Optional = 3*time.Second, 30*time.Second })},
		{"retries=2 tcp://a:1", Begin, with(func(x *Target) { x.Retries = 2 })},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			got, err := Parse(test.text, test.use)
			require.NoError(t, err)
			test.want.Use, test.want.Kind, test.want.Name, test.want.Probe = test.use, "tcp", "tcp://a:1", got.Probe
			assert.Equal(t, test.want, got)
		})
	}
}

// Every row is refused, and the message holds the words: what is wrong, and what
// would be right.
func TestParseRefuses(t *testing.T) {
	tests := []struct {
		text  string
		use   Use
		words string // separated by |
	}{
		{"", Wait, "empty target|tcp://HOST:PORT"},
		{"  \n", Wait, "empty target"},
		{"''", Wait, "command is empty"},
		{"timeout=2s", Wait, "options without a target"},
		{"ftp://h/x", Wait, "unknown scheme ftp://|tcp://HOST:PORT|https://|command"},
		{"db:5432", Wait, `"db:5432" has no scheme|tcp://db:5432`},
		{"[::1]:5432", Wait, "tcp://[::1]:5432"},
		{"user:CANARY@db:5432", Wait, "without a scheme"},
		{"user:CANARY@db/CANARY", Wait, "without a scheme"},
		{"http:/auth/", Wait, "http: without //|http://HOST"},
		{"file:/data", Wait, "file:///PATH"},
		{"tcp://db", Wait, "no port|tcp://HOST:PORT"},
		{"tcp://db:", Wait, "no port"},
		{"tcp://:80", Wait, "no host"},
		{"tcp://db:http", Wait, "not a number"},
		{"tcp://db:-1", Wait, "not a number"},
		{"tcp://db:0", Wait, "not in 1-65535"},
		{"tcp://db:65536", Wait, "not in 1-65535"},
		{"tcp://db:99999999999999999999999", Wait, "not in 1-65535"},
		{"tcp://db:80/CANARY", Wait, "no path"},
		{"tcp://user:CANARY@db:80", Wait, "no user"},
		{"tcp://::1:80", Wait, "brackets"},
		{"tcp://[db]:80", Wait, "no IPv6 address"},
		{"tcp://[::1:80", Wait, "tcp://[::1]:80"},
		{"tcp://d%b:80", Wait, "no host name has"},
		{"tcp://a:1 tcp://b:2", Wait, "one URL"},
		{"tcp://a:1 timeout=2s", Wait, "timeout= comes after the target"},
		{"tcp://$HOST:80", Wait, "nothing is expanded"},
		{"name=`id` tcp://a:80", Wait, "name=|nothing is expanded"},
		{"unix://run/x", Wait, "absolute|unix:///PATH"},
		{"unix:///" + strings.Repeat("x", 107), Wait, "at most 107"},
		{"file://host/x", Wait, "file:///PATH"},
		{"file:///a?b", Wait, "%3F"},
		{"file:///a%zz", Wait, "%25"},
		{"file:///a%00", Wait, "NUL"},
		{"http://u:CANARY@auth:99999/CANARY?CANARY", Wait, "1-65535"},
		{"http://u:CA/NARY@auth/", Wait, "not a number"},
		{"http://u:12/CANARY@auth/", Wait, "%40"}, // a slash in a password
		{"http://CANARY#x@auth/", Wait, "%40"},
		{"http:///x", Wait, "no host"},
		{"http://auth/%zz?CANARY", Wait, "escaped"},
		{"'http://auth/\x01CANARY'", Wait, "control character"},
		{"interval=1s tcp://a:1", End, "interval= is for --wait and --ready only, not for --drain"},
		{"within=1s tcp://a:1", Begin, "within="},
		{"successes=1 tcp://a:1", Begin, "successes="},
		{"optional=1s tcp://a:1", Ready, "optional= is for --wait only"},
		{"retries=1 tcp://a:1", Wait, "retries="},
		{"within=1s optional=2s tcp://a:1", Wait, "exclude each other"},
		{"optional=0 tcp://a:1", Wait, "optional= needs a limit"},
		{"timeout=-1s tcp://a:1", Wait, "timeout=|negative|timeout=2s"},
		{"timeout= tcp://a:1", Wait, "not a duration"},
		{"timeout=9999999999999 tcp://a:1", Wait, "not a duration"},
		{"interval=0 tcp://a:1", Wait, "interval=|10ms"},
		{"interval=9ms tcp://a:1", Wait, "interval=|10ms"},
		{"successes=0 tcp://a:1", Wait, "successes="},
		{"retries=-1 tcp://a:1", End, "retries="},
		{"name= tcp://a:1", Wait, "name="},
		{"name='a\nb' tcp://a:1", Wait, "control characters"},
		{"timeout=1 timeout=2 tcp://a:1", Wait, "timeout= is given twice"},
		{"status=200 tcp://a:1", Wait, "status= is for http and https, not for tcp"},
		{"status=200 true", Wait, "not for command"},
		{"tiemout=2s tcp://a:1", Wait, "unknown option tiemout=|timeout=|env tiemout=value"},
		{"PGPASSWORD=CANARY pg_isready", Wait, "env PGPASSWORD=value cmd"},
		{"status=600 http://a/", Wait, "status="},
		{"status=99 http://a/", Wait, "status="},
		{"status=300-200 http://a/", Wait, "status="},
		{"status=2xx http://a/", Wait, "status=|200-299,401"},
		{"status= http://a/", Wait, "status="},
		{"method=post http://a/", Wait, "method=POST"},
		{"method=CONNECT http://a/", Wait, "method="},
		{"header=CANARY http://a/", Wait, "header="},
		{"header='X: a\nCANARY' http://a/", Wait, "header= X|control character"},
		{"header='Content-Length: 5' http://a/", Wait, "Content-Length"},
		{"match='(CANARY' http://a/", Wait, "match="},
		{"header='Host: @/a' header='Host: b' http://a/", Wait, "header= Host: write it once"},
		{"grpc://auth", Wait, "no port"},
		{"grpc://:1", Wait, "no host"},
		{"grpc://u:CANARY@auth:1/x", Wait, "no user"},
		{"grpc://u:CAN/ARY@auth:1/x", Wait, "no user|%40"},
		{"grpc://auth:1?CANARY", Wait, "no query"},
		{"grpc://auth:1/x#CANARY", Wait, "no query|%23"},
		{"grpc://auth:1/%zz", Wait, "%25"},
		{"grpc://auth:1/%ff", Wait, "UTF-8"},
		{"grpc://auth:1/" + strings.Repeat("x", 1025), Wait, "1025 bytes"},
		{"method=GET grpc://auth:1", Wait, "method= is for http and https, not for grpc"},
		{"ca=/ca grpc://auth:1", Wait, "ca= is for https and grpcs, not for grpc"},
		{"insecure=true http://auth", Wait, "insecure= is for https and grpcs, not for http"},
		{"ca=ca.pem https://auth", Wait, "ca= needs an absolute path"},
		{"ca= https://auth", Wait, "ca= needs an absolute path"},
		{"cert=/c https://auth", Wait, "cert= and key= go together"},
		{"key=/k grpcs://auth:1", Wait, "cert= and key= go together"},
		{"cert=c key=k grpcs://auth:1", Wait, "cert= needs an absolute path|key= needs an absolute path"},
		{"server-name= https://auth", Wait, "server-name= is no host name"},
		{"server-name=a/b https://auth", Wait, "server-name= is no host name"},
		{"insecure=yes https://auth", Wait, "insecure= is neither true nor false"},
		{"insecure= https://auth", Wait, "insecure= is neither true nor false"},
		{"insecure=true ca=/ca https://auth", Wait, "exclude each other"},
		{"insecure=true insecure=true https://auth", Wait, "given twice"},
		{`send='CANARY\q' tcp://a:1`, Wait, "send=|backslash"},
		{`send='CANARY\' tcp://a:1`, Wait, "send=|backslash"},
		{"send= tcp://a:1", Wait, "send= is empty"},
		{"expect='(CANARY' tcp://a:1", Wait, "expect= is not a regular expression"},
		{"send=CANARY http://a", Wait, "send= is for tcp and unix, not for http"},
		{"dns://", Wait, "no name"},
		{"dns://10.0.0.1", Wait, "is an address"},
		{"dns://[::1]", Wait, "is an address"},
		{"dns://::1", Wait, "is an address"},
		{"dns://db:53", Wait, "no port"},
		{"dns://server/db", Wait, "no path"},
		{"dns://u:CANARY@db", Wait, "no user"},
		{"dns://d%b", Wait, "no host name has"},
		{"dns:db", Wait, "dns: without //|dns://NAME"},
		{"a && b", Wait, "unquoted & in the command a|sh -c"},
		{"a; b", Wait, "unquoted ;"},
		{"a | b CANARY", Wait, "unquoted |"},
		{"a > /f", Wait, "unquoted >"},
		{"a < /f", Wait, "unquoted <"},
		{"ls *.go", Wait, "unquoted *"},
		{"ls ?", Wait, "unquoted ?"},
		{"echo $HOME", Wait, "unquoted $"},
		{"echo `id`", Wait, "unquoted `"},
		{"(a)", Wait, "unquoted ( )"},
		{"ls ~/x", Wait, "unquoted ~"},
		{"a # b", Wait, "unquoted #"},
		{"a\nb", Wait, "several lines"},
		{"a 'b", Wait, "quote without its end"},
		{`a "b`, Wait, "quote without its end"},
		{`a \`, Wait, "backslash at the end"},
		{"a \x00", Wait, "NUL"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			_, err := Parse(test.text, test.use)
			require.Error(t, err)
			for _, word := range strings.Split(test.words, "|") {
				assert.ErrorContains(t, err, word)
			}
			assert.NotContains(t, err.Error(), "CANARY")
		})
	}
}

func TestParseReportsAllMistakesAtOnce(t *testing.T) {
	_, err := Parse("timeout=x retries=1 nope=1 A=b status=1 method=m header=h match=( http://h:0/ method=GET", Wait)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	for _, word := range []string{"timeout=", "retries=", "nope=", "env A=", "status=", "method=", "header=", "match=", "1-65535", "after the target"} {
		assert.ErrorContains(t, err, word)
	}
	assert.Len(t, joined.Unwrap(), 10)
}

func TestSplitFollowsTheShell(t *testing.T) {
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
		words, err := split(text)
		require.NoError(t, err, text)
		var got []string
		for _, w := range words {
			got = append(got, w.text)
			assert.Len(t, w.quoted, len(w.text))
		}
		assert.Equal(t, want, got, text)
	}
}

func TestParseDuration(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, ".5": 500 * time.Millisecond,
		"1m30s": 90 * time.Second, "200ms": 200 * time.Millisecond, "9223372036": 9223372036 * time.Second,
	}
	for s, want := range good {
		got, err := ParseDuration(s)
		assert.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", " ", "-1", "-1s", "1e3", ".", "1.2.3", "5m3", "9223372037", "99999999999999999999", "inf", "1 s", "1d"} {
		_, err := ParseDuration(s)
		assert.Error(t, err, s)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"timeout=2s status=204 https://auth/healthz", "tcp://[::1]:80", "sh -c 'exit 1'", "a && b", `"a\"`, "db:5432",
		"http://u:p@h:80/x?y#z", "grpc://h:1/a%20b", "ca=/a cert=/b key=/c server-name=d insecure=x grpcs://[::1%25a]:1", "dns://a", `send='\x00' expect=^a tcp://a:1`, "unix:///a%20b", "header='A: b' body=x match=^a$ http://h", "x=1", "'", "\\", "file:///%",
	} {
		f.Add(text, 0)
		f.Add(text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, use int) {
		target, err := Parse(text, Use(use&3))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotEmpty(t, target.Name)
		require.NotNil(t, target.Probe)
		require.NotEmpty(t, target.Kind)
		require.GreaterOrEqual(t, target.Successes, 1)
		require.GreaterOrEqual(t, target.Interval, minPause)
		require.GreaterOrEqual(t, target.Timeout, time.Duration(0))
	})
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// FuzzSecrets puts something secret wherever a URL or an option may hold one, and
// something arbitrary beside it.
func FuzzSecrets(f *testing.F) {
	const canary = "c4n4ry"
	f.Add("host:80", "/p", "x", 0)
	f.Add("host:99999", "/%zz", "'", 3)
	f.Add("h@i:http", "?a", "\n", 3)
	f.Add("[::1", "#", "(", 1)
	f.Add("000:\\0001", "", "#", 0)
	f.Add("h", "/%40", "/", 0)
	f.Fuzz(func(t *testing.T, host, path, odd string, use int) {
		u := Use(use & 3)
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
		} {
			if strings.Contains(host+odd, canary) || !u.Hook() && strings.Contains(path, canary) {
				t.Skip()
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
