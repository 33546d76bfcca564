package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// The tests in this file put canary wherever a command line or a response of a server may
// contain a secret. They fail if usher prints canary.
const canary = "s3cr3t"

// A secretTarget is two similar targets, one for a probe and one for a hook. Each part that
// may be secret contains canary. In the hook's target the path contains canary too, because
// the URL of a webhook may have its secret in the path.
type secretTarget struct{ probe, hook string }

// readyReplies are replies of servers that count as ready, by the scheme of the target. The
// server sends its reply without reading the request. That works, because a probe reads the
// reply only after it has sent its request.
var readyReplies = map[string]string{
	"tcp":        "+" + canary + "\r\n",
	"postgres":   postgresError("3D000"),
	"postgresql": "R\x00\x00\x00\x08\x00\x00\x00\x00",
	"mysql":      mysqlPacket("\x0a8.4.0-" + canary + "\x00" + strings.Repeat("\x00", 58)),
	"redis":      "-NOAUTH " + canary + "\r\n",
	"rediss":     "-NOAUTH " + canary + "\r\n",
	"amqps":      "AMQP\x00\x01\x00\x00",
	"mqtts":      "\x20\x02\x00\x05",
	"amqp":       "AMQP\x00\x01\x00\x00",
	"nats":       "INFO {" + canary + "}\r\n",
	"mqtt":       "\x20\x02\x00\x05",
	"mongodb":    mongoReply(),
	"kafka":      kafkaReply,
	"kafka+ssl":  kafkaReply,
	"memcached":  "VERSION " + canary + "\r\n",
}

// kafkaReply is a reply to ApiVersions, and one to Metadata version 1 with one broker.
const kafkaReply = "\x00\x00\x00\x16\x00\x00\x00\x12\x00\x00\x00\x00\x00\x02\x00\x03\x00\x00\x00\x01\x00\x12\x00\x00\x00\x00" +
	"\x00\x00\x00\x22\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x06" + canary + "\x00\x00\x23\x84\xff\xff\x00\x00\x00\x01\x00\x00\x00\x00"

// mongoReply returns a reply to MongoDB's command hello. It says that the member is a secondary.
func mongoReply() string {
	fields := "\x08secondary\x00\x01\x02setName\x00\x07\x00\x00\x00" + canary + "\x00\x10ok\x00\x01\x00\x00\x00\x00"
	body := "\x00\x00\x00\x00\x00" + string(rune(len(fields)+4)) + "\x00\x00\x00" + fields
	return string(rune(len(body)+16)) + "\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00" + body
}

func postgresError(code string) string {
	fields := "C" + code + "\x00M" + canary + "\x00\x00"
	return "E\x00\x00\x00" + string(rune(len(fields)+4)) + fields
}

func mysqlPacket(packet string) string { return string(rune(len(packet))) + "\x00\x00\x00" + packet }

// serveReply starts a server that sends reply to each client. After that, the server closes its
// writing side of the connection and keeps reading.
func serveReply(t *testing.T, network, address, reply string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	return serveReplyOn(t, l, reply)
}

func serveReplyOn(t *testing.T, l net.Listener, reply string) string {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, reply)
				conn.(interface{ CloseWrite() error }).CloseWrite()
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return l.Addr().String()
}

// respondReady is an HTTP and gRPC handler whose responses count as ready. They contain
// secrets.
func respondReady(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Token", canary)
	if r.ProtoMajor == 2 {
		w.Header().Set("Content-Type", "application/grpc")
		io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		return
	}
	fmt.Fprintln(w, canary)
}

// respondNotReady is an HTTP and gRPC handler. Its responses are failures and contain
// secrets. Over HTTP/1 without TLS, each response redirects to the same server, without end.
func respondNotReady(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", "/"+canary+"?token="+canary)
	w.Header().Set("Grpc-Message", canary)
	w.Header().Set("Grpc-Status", "14")
	switch {
	case r.ProtoMajor == 2:
	case r.TLS == nil:
		w.WriteHeader(http.StatusFound)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
	fmt.Fprintln(w, canary)
}

// A fixture has a directory with secret files, and servers for HTTP and gRPC.
type fixture struct {
	dir         string
	plain, tls  string // addresses of the servers, HOST:PORT
	pair        tls.Certificate
	certificate string // the options ca= cert= key= server-name=
}

func newFixture(t *testing.T, handler http.HandlerFunc) *fixture {
	t.Helper()
	d := &fixture{dir: filepath.Join(t.TempDir(), canary)}
	require.NoError(t, os.Mkdir(d.dir, 0o700))
	start := func(secure bool) (*httptest.Server, string) {
		server := httptest.NewUnstartedServer(handler)
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(true)
		server.Config.Protocols.SetHTTP2(secure)
		server.Config.Protocols.SetUnencryptedHTTP2(!secure)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		if server.EnableHTTP2 = secure; secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		return server, server.Listener.Addr().String()
	}
	_, d.plain = start(false)
	secure, addr := start(true)
	d.tls = addr
	pair := secure.TLS.Certificates[0]
	d.pair = pair
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	d.file(t, "cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"X": canary}, Bytes: pair.Certificate[0]}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	d.file(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	d.certificate = fmt.Sprintf("ca=%[1]s/cert cert=%[1]s/cert key=%[1]s/key server-name=example.com ", d.dir)
	d.file(t, "token", canary+"\n")
	return d
}

func (d *fixture) file(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600))
}

const credentials = "user-" + canary + ":" + canary

// targets starts servers, and returns targets of all kinds. If reply is "", each server
// sends the reply in readyReplies for its scheme, and all targets are ready; mongodb+srv is
// left out. Otherwise each server sends reply, and there are also targets that fail for other
// reasons.
func (d *fixture) targets(t *testing.T, reply string) []secretTarget {
	t.Helper()
	opts := "method=POST header='Authorization: Bearer " + canary + "' header='X-Token: Token " + canary + " @" + d.dir + "/token' body=" + canary +
		" match='x|" + canary + "' "
	url := func(scheme, addr, path string) string {
		return scheme + "://" + credentials + "@" + addr + path + "?token=" + canary + "&x=" + canary + "#" + canary
	}
	socket := filepath.Join(t.TempDir(), "socket")
	hidden := filepath.Join(t.TempDir(), canary)
	tcpReply := reply
	if tcpReply == "" {
		tcpReply = readyReplies["tcp"]
	}
	serveReply(t, "unix", socket, tcpReply)
	serveReply(t, "unix", hidden, tcpReply)
	sendExpect := `send='AUTH ` + canary + `\r\n' expect='^\+` + canary + `' `
	list := []secretTarget{
		{opts + url("http", d.plain, "/health"), opts + url("http", d.plain, "/"+canary)},
		{opts + d.certificate + url("https", d.tls, "/health"), opts + d.certificate + url("https", d.tls, "/"+canary)},
		{"grpc://" + d.plain + "/service", "grpc://" + d.plain + "/" + canary},
		{d.certificate + "grpcs://" + d.tls + "/service", d.certificate + "grpcs://" + d.tls + "/" + canary},
		{sendExpect + "unix://" + socket, sendExpect + "unix://" + hidden},
		{"dns://localhost", "dns://localhost"},
	}
	ready := reply == ""
	if ready {
		list = append(list, secretTarget{"file:///", "file://" + d.dir + "/token"}, secretTarget{"true " + canary, "sh -c 'exit 0 # " + canary + "'"})
	} else {
		list = append(list, secretTarget{"file:///no/such/file", "file://" + d.dir + "/missing"}, secretTarget{"false " + canary, "/no/such/command " + canary},
			secretTarget{"mongodb+srv://" + credentials + "@none.invalid/" + canary + "?x=" + canary, "mongodb+srv://" + credentials + "@none.invalid/" + canary},
			secretTarget{"ca=" + d.dir + "/token https://" + d.tls, "ca=" + d.dir + "/missing https://" + d.tls + "/" + canary},
			secretTarget{fmt.Sprintf("cert=%[1]s/token key=%[1]s/token grpcs://", d.dir) + d.tls, fmt.Sprintf("cert=%[1]s/cert key=%[1]s/token https://", d.dir) + d.tls},
			secretTarget{"insecure=true status=401 match=not-" + canary + " https://" + d.tls, "insecure=true body=" + canary + " " + url("https", d.tls, "/"+canary)},
			secretTarget{"insecure=true " + url("https", d.plain, "/health"), "header='A: " + canary + " @" + d.dir + "/missing' http://" + d.plain})
	}
	for kind, kindReply := range readyReplies {
		if !ready {
			kindReply = reply
		}
		options, addr := "", ""
		if slices.Contains([]string{"rediss", "amqps", "mqtts", "kafka+ssl"}, kind) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{d.pair}})
			require.NoError(t, err)
			options, addr = d.certificate, serveReplyOn(t, l, kindReply)
		} else {
			addr = serveReply(t, "tcp", "127.0.0.1:0", kindReply)
		}
		if kind == "tcp" {
			list = append(list, secretTarget{sendExpect + "tcp://" + addr, sendExpect + "tcp://" + addr})
			continue
		}
		target := options + kind + "://" + credentials + "@" + addr + "/" + canary + "?password=" + canary + "&user=" + canary + "#" + canary
		list = append(list, secretTarget{target, target})
	}
	return list
}

// flags calls toFlags for each target and returns all results in one slice.
func (d *fixture) flags(t *testing.T, reply string, toFlags func(i int, s secretTarget) []string) (args []string) {
	for i, s := range d.targets(t, reply) {
		args = append(args, toFlags(i, s)...)
	}
	return args
}

// The targets of these tests include all schemes, and all options of package probes that may
// contain a secret.
func TestSecretTargetsCoverAllKindsAndOptions(t *testing.T) {
	d := newFixture(t, respondReady)
	var texts strings.Builder
	for _, reply := range []string{"", canary} {
		for _, s := range d.targets(t, reply) {
			fmt.Fprintln(&texts, " "+s.probe)
		}
	}
	_, err := probes.Parse("unknown=1 unknown://x", probes.ForWait)
	kinds := regexp.MustCompile(`[a-z+]+://`).FindAllString(strings.Split(err.Error(), "unknown scheme unknown://")[1], -1)
	require.Greater(t, len(kinds), 14)
	for _, kind := range kinds {
		assert.Contains(t, texts.String(), " "+kind)
	}
	withoutSecret := " timeout= interval= within= optional= successes= retries= name= status= gone= "
	options := regexp.MustCompile(`[a-z-]+=`).FindAllString(regexp.MustCompile(`known are ([a-z=\- ]+)`).FindString(err.Error()), -1)
	require.Greater(t, len(options), 17)
	for _, option := range options {
		if !strings.Contains(withoutSecret, " "+option+" ") {
			assert.Contains(t, texts.String(), " "+option)
		}
	}
}

// runWithSecrets runs usher until it exits. It checks that the log, the termination log, the
// messages to the service manager and stdout do not contain canary, and returns the exit
// status and the log. If during is not nil, it is called while usher runs.
func runWithSecrets(t *testing.T, l launcher, during func(*process), args ...string) (int, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	manager := listening(t)
	l.env = append(l.env, "NOTIFY_SOCKET="+manager.address, "PATH="+os.Getenv("PATH"), "PASSWORD="+canary, "USHER_UNRELATED="+canary)
	if !slices.Contains(args, "--probe") {
		args = append([]string{"--termination-log", file}, args...)
	}
	r := l.usher(t, args...)
	if during != nil {
		during(r)
	}
	code := r.code()
	r.stderr.rest()
	message, err := os.ReadFile(file)
	require.NoError(t, err)
	log := strings.Join(r.stderr.all, "\n")
	eventually(t, func() bool { return manager.send("END=1") == nil }, func() string { return "the queue is full" })
	manager.expect("END=1")
	for _, printed := range []string{log, r.stdout.rest(), string(message), manager.text()} {
		for _, line := range strings.Split(printed, "\n") {
			assertNotPrinted(t, line, canary)
		}
	}
	return code, log
}

// logFlags are combinations of the flags that change the log.
var logFlags = map[string][]string{
	"verbose": {"--verbose"},
	"json":    {"--verbose", "--log", "json"},
	"default": nil,
	"quiet":   {"--quiet"},
}

func TestNoSecretIsPrintedWhenAllTargetsAreReady(t *testing.T) {
	d := newFixture(t, respondReady)
	var drain []string
	targets := d.flags(t, "", func(_ int, s secretTarget) []string {
		drain = append(drain, s.hook)
		return []string{"--wait", "within=20s " + s.probe, "--ready", s.probe, "--pre-start", s.hook, "--post-start", s.hook, "--post-stop", s.hook}
	})
	env := []string{"USHER_DRAIN=" + strings.Join(drain, "\n")}
	for name, flags := range logFlags {
		t.Run(name, func(t *testing.T) {
			args := slices.Concat([]string{"--grace", "60s"}, flags, targets,
				[]string{"--post-start", "echo startup finished", "--", "sh", "-c", "exec sleep 1000 # " + canary})
			code, log := runWithSecrets(t, launcher{env: env}, func(r *process) {
				r.stderr.expect("startup finished")
				r.signal(syscall.SIGTERM)
			}, args...)
			assert.Equal(t, 143, code)
			log = strings.ReplaceAll(log, "post-start: echo failed", "") // allowed, because SIGTERM may interrupt this hook after its output
			assertNotPrinted(t, log, " failed after ")
			assertNotPrinted(t, log, "skipped")
			if name != "quiet" {
				for _, phase := range []string{"wait: ", "pre-start: ", "ready: ", "post-start: ", "drain: ", "post-stop: "} {
					assertPrinted(t, log, phase)
				}
			}
		})
	}
	code, log := runWithSecrets(t, launcher{}, nil, d.flags(t, "", func(_ int, s secretTarget) []string { return []string{"--probe", "timeout=30s " + s.probe} })...)
	assert.Equal(t, 0, code, log)
	assert.Empty(t, log)
}

// wrongReplies are replies with which no probe succeeds. Each is an error in one protocol, or
// belongs to no protocol, and servers send it to the probes of all kinds.
var wrongReplies = map[string]string{
	"a line":                 canary + "\r\n",
	"an error of PostgreSQL": postgresError("57P03"),
	"an error of Redis":      "-ERR " + canary + "\r\n",
	"an error of MySQL":      mysqlPacket("\xff\x6f\x04" + canary),
	"nothing":                " ",
}

func TestNoSecretIsPrintedWhenTargetsFail(t *testing.T) {
	d := newFixture(t, respondNotReady)
	for replyName, reply := range wrongReplies {
		all := d.targets(t, reply)
		for name, flags := range logFlags {
			if replyName != "a line" && name != "verbose" { // only "a line" is tested with all logFlags
				continue
			}
			t.Run(replyName+", "+name, func(t *testing.T) {
				t.Parallel()
				args := slices.Concat([]string{"--wait-timeout", "0.3s"}, flags)
				probe := slices.Concat(flags)
				for i, s := range all {
					limits := []string{"", "optional=0.2s ", "timeout=0.1s "}[i%3]
					args = append(args, "--wait", limits+s.probe, "--post-stop", "retries=1 timeout=5s "+s.hook)
					once := s.probe
					if once == "dns://localhost" { // the only target that is ready
						once = "timeout=30s " + once
					}
					probe = append(probe, "--probe", once)
				}
				code, log := runWithSecrets(t, launcher{}, nil, append(args, "app", canary)...)
				assert.Equal(t, 124, code)
				assertPrinted(t, log, " is not ready after ")

				code, log = runWithSecrets(t, launcher{}, nil, probe...)
				assert.Equal(t, 1, code)
				assert.Equal(t, len(all)-1, strings.Count(log, "probe: "), "all targets except dns://localhost must fail")
			})
		}
	}
	// A startup hook or a --ready target that fails stops usher. The log then has its error,
	// which must not contain a secret.
	for _, s := range d.targets(t, wrongReplies["a line"]) {
		code, log := runWithSecrets(t, launcher{}, nil, "--verbose", "--pre-start", s.hook, "app")
		assert.Contains(t, []int{0, supervisor.CodeFault, supervisor.CodeNotFound}, code, lastLines(log))
		code, _ = runWithSecrets(t, launcher{}, nil, "--log", "json", "--ready", s.probe, "--ready", "within=0.1s tcp://127.0.0.1:1", "--grace", "5s", "sleep", "1000")
		assert.Equal(t, supervisor.CodeTimeout, code)
	}
}

// On a terminal usher also prints a progress line.
func TestNoSecretIsPrintedOnATerminal(t *testing.T) {
	d := newFixture(t, respondNotReady)
	ptm, pts := openPTY(t)
	require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 10000}))
	screen := readLines(t, ptm)
	waits := d.flags(t, wrongReplies["a line"], func(_ int, s secretTarget) []string { return []string{"--wait", s.probe} })
	launcher{tty: pts}.usher(t, append([]string{"--wait-timeout", "5s"}, waits...)...)
	screen.expect("targets pending")
	printed := strings.Join(screen.all, "\n")
	assertPrinted(t, printed, "\r\x1b[Kusher: wait: ")
	assertNotPrinted(t, printed, canary)
}

func TestNoSecretIsPrintedByPlan(t *testing.T) {
	d := newFixture(t, respondReady)
	args := d.flags(t, "", func(_ int, s secretTarget) []string {
		return []string{"--wait", s.probe, "--ready", s.probe, "--pre-start", s.hook, "--post-start", s.hook, "--drain", s.hook, "--post-stop", s.hook}
	})
	code, log := runWithSecrets(t, launcher{}, nil, slices.Concat([]string{"--plan", "--grace", "60s"}, args, []string{"--", "sh", "-c", canary})...)
	assert.Equal(t, 0, code, lastLines(log))
}

// Each function in the list below changes a target that contains canary. Most changes make
// the target invalid.
func TestNoSecretIsPrintedInAnErrorAboutATarget(t *testing.T) {
	d := newFixture(t, respondReady)
	for _, s := range d.targets(t, "") {
		for _, wrong := range []func(text string) string{
			func(text string) string { return "nope=" + canary + " " + text },
			func(text string) string { return "timeout=x " + text },
			func(text string) string { return text + " " + canary },
			func(text string) string { return text + " body=" + canary },
			func(text string) string { return strings.Replace(text, "://", ":", 1) },
			func(text string) string { return strings.Replace(text, "://", "", 1) },
			func(text string) string { return strings.Replace(text, "://", "x://", 1) },
			func(text string) string { return strings.Replace(text, "@127.0.0.1:", "@127.0.0.1:x", 1) },
			func(text string) string { return strings.Replace(text, "@", "@@", 1) },
			func(text string) string { return strings.Replace(text, "?", "/%zz?", 1) },
			func(text string) string { return "'" + text },
			func(text string) string { return text + `\` },
			func(text string) string {
				return "header=" + canary + " match=(" + canary + " send='" + canary + `\q' ` + text
			},
			func(text string) string {
				return "ca=" + canary + " key=" + canary + " server-name=x/" + canary + " insecure=" + canary + " " + text
			},
			func(text string) string { return text + " && " + canary },
			func(text string) string { return text + " $" + canary },
		} {
			// Some changes leave the target valid. So the unknown flag --nope makes sure that
			// there is an error.
			assert.NotContains(t, errorsIn(t, []string{"--wait", wrong(s.probe), "--nope", "--", "app"}, nil), canary, "%q", wrong(s.probe))
			assert.NotContains(t, errorsIn(t, []string{"--nope", "--", "app"}, []string{"USHER_DRAIN=" + wrong(s.hook)}), canary, "%q", wrong(s.hook))
		}
	}
	code, log := runWithSecrets(t, launcher{env: []string{"USHER_DRAIN=nope=1 http://" + credentials + "@x/" + canary}}, nil,
		"--log", "json", "--wait", "timeout=x http://"+credentials+"@auth/?"+canary, "--grace", "http://"+credentials+"@auth", "--", "app", canary)
	assert.Equal(t, supervisor.CodeFault, code)
	assertPrinted(t, log, "nothing was started")
}
