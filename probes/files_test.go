package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// withMounts makes readMounts return / and the given mount points until the test ends.
func withMounts(t *testing.T, points ...string) {
	t.Helper()
	text := "1 0 0:1 / / rw - ext4 /dev/root rw\n"
	for i, point := range points {
		text += fmt.Sprintf("%d 1 0:%d / %s rw - nfs server:/ rw\n", i+2, i+2, point)
	}
	path := filepath.Join(t.TempDir(), "mountinfo")
	writeFile(t, path, []byte(text))
	before := mountInfo
	mountInfo = path
	t.Cleanup(func() { mountInfo = before })
}

// A deadMount is a file system that does not respond until the channel responds is closed.
type deadMount struct {
	responds chan struct{}
	calls    atomic.Int64 // how many calls have started
}

func newDeadMount() *deadMount { return &deadMount{responds: make(chan struct{})} }

func (d *deadMount) lookUp() error {
	d.calls.Add(1)
	<-d.responds
	return nil
}

// lookUp calls f.run with path, do and a timeout. It returns how long run took, and its error.
func lookUp(f *fileThreads, path string, timeout time.Duration, do func() error) (time.Duration, error) {
	ctx, cancel := withTimeout(context.Background(), timeout)
	defer cancel()
	begun := time.Now()
	err := f.run(ctx, path, do, nil)
	return time.Since(begun), err
}

// found stands for a system call that succeeds at once.
func found() error { return nil }

const noResponseIn3s = "no response from the file system within 3s"

// A hundred targets are on one mount that does not respond. Each of their attempts must time
// out. Attempts on another mount must succeed, after at most slowCall (100 ms).
func TestDeadMountBlocksOneThread(t *testing.T) {
	for name, points := range map[string][]string{"by the table of mounts": {"/dead", "/alive"}, "without a table": nil} {
		t.Run(name, func(t *testing.T) {
			if withMounts(t, points...); points == nil {
				mountInfo = "/no/such/file"
			}
			synctest.Test(t, func(t *testing.T) {
				var f fileThreads
				dead := newDeadMount()
				for range 2 { // twice: in the second round a call already hangs on the mount
					var all sync.WaitGroup
					for i := range 100 {
						all.Go(func() {
							took, err := lookUp(&f, fmt.Sprintf("/dead/%d/x", i), 3*time.Second, dead.lookUp)
							assert.EqualError(t, err, noResponseIn3s)
							assert.ErrorIs(t, err, context.DeadlineExceeded)
							assert.Equal(t, hintMount, Hint(err))
							assert.Equal(t, 3*time.Second, took)
						})
						all.Go(func() {
							took, err := lookUp(&f, fmt.Sprintf("/alive/%d", i), 3*time.Second, found)
							assert.NoError(t, err)
							assert.LessOrEqual(t, took, slowCall)
						})
					}
					all.Wait()
				}
				synctest.Wait()
				assert.EqualValues(t, 1, dead.calls.Load())
				assert.Empty(t, f.waiting)

				close(dead.responds)
				synctest.Wait()
				took, err := lookUp(&f, "/dead/0/x", 3*time.Second, dead.lookUp)
				assert.NoError(t, err)
				assert.Zero(t, took)
				synctest.Wait()
				assert.Empty(t, f.hanging)
				assert.Nil(t, f.serving)
			})
		})
	}
}

func TestCallsOnASlowMountAllSucceed(t *testing.T) {
	withMounts(t, "/slow")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				_, err := lookUp(&f, fmt.Sprintf("/slow/%d", i), 3*time.Second, func() error {
					time.Sleep(2 * slowCall)
					return nil
				})
				assert.NoError(t, err)
			})
		}
		all.Wait()
	})
}

// The call takes exactly slowCall. After the same time a timer calls markHanging, so the call
// may end before or after markHanging.
func TestFileCallThatEndsWhenItBecomesSlow(t *testing.T) {
	withMounts(t)
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			var f fileThreads
			_, err := lookUp(&f, "/", 3*time.Second, func() error {
				time.Sleep(slowCall)
				return nil
			})
			assert.NoError(t, err)
			synctest.Wait()
			assert.Nil(t, f.serving)
			assert.Empty(t, f.hanging)
		}
	})
}

func TestSlowCallMayEnterMountsOnWhichNoOtherCallHangs(t *testing.T) {
	withMounts(t, "/slow", "/slow/deep", "/dead")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		c := &fileCall{path: "/slow/x", at: "/", do: found, done: make(chan error, 1)}
		f.serving = c
		f.markHanging(c)
		for _, at := range []string{"/", "/slow", "/slow/x", "/slow/deep/y"} {
			assert.True(t, f.enter(c, at), at)
			assert.Equal(t, f.mounts.of(at), f.hanging[c])
		}
		dead := newDeadMount()
		go lookUp(&f, "/dead/x", time.Hour, dead.lookUp)
		time.Sleep(time.Second)
		assert.False(t, f.enter(c, "/dead/y"), "another call hangs on that mount")
		assert.Nil(t, f.finish(c, false, nil))
		assert.Equal(t, []*fileCall{c}, f.waiting)
		close(dead.responds)
		assert.NoError(t, <-c.done)
	})
}

// A call is slow on one mount and then moves to another one. A call on the first mount that
// waits for it, and has no time limit, must be made then.
func TestSlowCallThatMovesLetsTheOthersOfItsMountRun(t *testing.T) {
	withMounts(t, "/dead")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		c := &fileCall{path: "/dead/x", at: "/", do: found, done: make(chan error, 1)}
		f.serving = c
		f.markHanging(c)
		ended := make(chan error, 1)
		go func() {
			_, err := lookUp(&f, "/y", 0, found)
			ended <- err
		}()
		synctest.Wait()
		require.Len(t, f.waiting, 1)
		assert.True(t, f.enter(c, "/dead"))
		synctest.Wait()
		assert.Empty(t, f.waiting)
		f.mu.Lock()
		delete(f.hanging, c)
		f.startThread() // ends the other call if enter did not
		f.mu.Unlock()
		assert.NoError(t, <-ended)
	})
}

// When a slow call returns, another thread already serves the waiting calls. The thread of
// the slow call must end, because otherwise two waiting calls would run at the same time.
func TestFileCallsRunOneAtATime(t *testing.T) {
	withMounts(t, "/slow", "/alive")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		var running, most atomic.Int64
		var all sync.WaitGroup
		all.Go(func() {
			_, err := lookUp(&f, "/slow/x", time.Minute, func() error { time.Sleep(slowCall + slowCall/2); return nil })
			assert.NoError(t, err)
		})
		synctest.Wait()
		for i := range 3 {
			all.Go(func() {
				_, err := lookUp(&f, fmt.Sprintf("/alive/%d", i), time.Minute, func() error {
					most.Store(max(most.Load(), running.Add(1)))
					time.Sleep(slowCall * 3 / 4)
					running.Add(-1)
					return nil
				})
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.EqualValues(t, 1, most.Load())
	})
}

// If one mount does not respond, calls on other mounts still run. If two mounts do not
// respond, no further call runs until one of the two responds again.
func TestAtMostTwoFileThreads(t *testing.T) {
	var points []string
	for i := range MaxFileThreads + 2 {
		points = append(points, fmt.Sprint("/dead", i))
	}
	withMounts(t, points...)
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		dead := newDeadMount()
		kill := func(i int) { go lookUp(&f, points[i]+"/x", time.Hour, dead.lookUp) }
		alive := func() (time.Duration, error) { return lookUp(&f, "/alive", 3*time.Second, found) }
		for i := range MaxFileThreads - 1 {
			kill(i)
		}
		took, err := alive()
		assert.NoError(t, err)
		assert.LessOrEqual(t, took, slowCall*(MaxFileThreads-1))
		for i := range 3 {
			kill(MaxFileThreads - 1 + i)
		}
		time.Sleep(time.Second)
		assert.EqualValues(t, MaxFileThreads, dead.calls.Load())
		_, err = alive()
		assert.EqualError(t, err, noResponseIn3s)
		close(dead.responds)
		took, err = alive()
		assert.NoError(t, err)
		assert.Zero(t, took)
		synctest.Wait()
		assert.EqualValues(t, len(points), dead.calls.Load(), "all waiting calls must run after the mounts respond again")
	})
}

// A system call may succeed after its attempt has ended. Then undo must be called; for a unix
// socket, undo closes the connection. In all other cases undo must not be called.
func TestLateSuccessIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		var undone atomic.Int64
		ask := func(takes time.Duration, result error) error {
			ctx, cancel := withTimeout(t.Context(), time.Second)
			defer cancel()
			return f.run(ctx, "/", func() error { time.Sleep(takes); return result }, func() { undone.Add(1) })
		}
		assert.NoError(t, ask(0, nil))
		assert.ErrorIs(t, ask(0, syscall.ENOENT), syscall.ENOENT)
		assert.Error(t, ask(2*time.Second, syscall.ENOENT))
		time.Sleep(time.Minute)
		assert.Zero(t, undone.Load())
		assert.EqualError(t, ask(2*time.Second, nil), "no response from the file system within 1s")
		time.Sleep(time.Minute)
		assert.EqualValues(t, 1, undone.Load())
	})
}

func TestFileCallReturnsTheCauseOfItsContext(t *testing.T) {
	withMounts(t, "/dead")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		dead := newDeadMount()
		signal := errors.New("SIGTERM")
		for range 2 { // twice: the first call hangs, and the second waits for it
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(signal) })
			assert.Equal(t, signal, f.run(ctx, "/dead/x", dead.lookUp, nil))
		}
		close(dead.responds)
	})
}

func TestNewMountOverADeadOneIsUsed(t *testing.T) {
	withMounts(t, "/data")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		dead := newDeadMount()
		_, err := lookUp(&f, "/data/x", 3*time.Second, dead.lookUp)
		assert.EqualError(t, err, noResponseIn3s)
		_, err = lookUp(&f, "/data/x", 3*time.Second, found)
		assert.EqualError(t, err, noResponseIn3s)
		withMounts(t, "/data", "/data") // the second mount hides the first
		_, err = lookUp(&f, "/data/x", 3*time.Second, found)
		assert.NoError(t, err)
		close(dead.responds)
	})
}

func TestLinkToADeadMountDoesNotBlockTheMountOfTheLink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/dead", 0o700))
	require.NoError(t, os.Mkdir(dir+"/alive", 0o700))
	var links []string
	for i, to := range []string{dir + "/dead/x", "../dead/y", ".././dead/z", "2", "3/w"} {
		links = append(links, fmt.Sprintf("%s/alive/%d", dir, i))
		require.NoError(t, os.Symlink(to, links[i]))
	}
	writeFile(t, dir+"/alive/file", nil)
	withMounts(t, dir+"/dead", dir+"/alive")
	synctest.Test(t, func(t *testing.T) {
		var f fileThreads
		dead := newDeadMount()
		for _, link := range links {
			_, err := lookUp(&f, link, 3*time.Second, dead.lookUp)
			assert.EqualError(t, err, noResponseIn3s, link)
			took, err := lookUp(&f, dir+"/alive/file", 3*time.Second, found)
			assert.NoError(t, err)
			assert.Zero(t, took)
		}
		assert.EqualValues(t, 1, dead.calls.Load())
		close(dead.responds)
	})
}

func TestFollowPathVisitsTheSameFilesAsTheKernel(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/a", 0o700))
	writeFile(t, dir+"/a/file", nil)
	require.NoError(t, os.Symlink("a", dir+"/rel"))
	require.NoError(t, os.Symlink(dir+"/rel/../a/file", dir+"/abs"))
	require.NoError(t, os.Symlink("loop", dir+"/loop"))
	for path, want := range map[string]string{
		"/a/file":      "/a /a/file",
		"//a/./file/":  "/a /a/file",
		"/rel/file":    "/rel /a /a/file",
		"/abs":         "/abs <up> /rel /a <dir> /a /a/file",
		"/a/../a/file": "/a <dir> /a /a/file",
		"/none/x":      "/none",
		"/a/file/x":    "/a /a/file /a/file/x",
		"/loop":        strings.TrimSpace(strings.Repeat("/loop ", 41)),
	} {
		var seen []string
		assert.True(t, followPath(dir+path, func(at string) bool {
			below, ok := strings.CutPrefix(at, dir)
			switch {
			case ok && below == "":
				seen = append(seen, "<dir>")
			case ok:
				seen = append(seen, below)
			case len(seen) > 0 && seen[len(seen)-1] != "<up>":
				seen = append(seen, "<up>") // a path above dir, because followPath starts again at / after an absolute link
			}
			return true
		}))
		got := strings.ReplaceAll(strings.Join(seen, " "), "<up> <dir>", "<up>")
		assert.Equal(t, want, strings.TrimPrefix(got, "<dir> "), path)
		assert.False(t, followPath(dir+path, func(at string) bool { return at != dir+"/a" && at != dir+"/loop" && at != dir+"/none" }), path)
	}
}

func TestMountTableFindsTheMountOfAPath(t *testing.T) {
	table := parseMounts(`21 1 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
23 21 0:6 / /data rw - nfs a:/ rw
24 23 0:7 / /data/deep rw - nfs b:/ rw
25 21 0:8 / /with\040space\134 rw - nfs c:/ rw
26 23 0:9 / /data rw - nfs d:/ rw
27 21
`)
	for path, want := range map[string]string{
		"/": "21", "/x": "21", "/database": "21", "/proc/self": "22", "/data": "26", "/data/x": "26", "/data/deep/x": "24", `/with space\/x`: "25",
	} {
		assert.Equal(t, want, table.of(path), path)
	}
	assert.Empty(t, parseMounts("5 1 0:1 / /data rw - nfs a:/ rw\n").of("/other"), "no mount of the table contains the path")
	assert.Equal(t, "/data", mountTable(nil).of("/data/x/y"))
	assert.NotEmpty(t, readMounts())
}

// deadFUSE mounts a FUSE file system at dir. No server responds to calls on this file system.
// disconnect makes later calls on it fail with ENOTCONN.
func deadFUSE(t *testing.T, dir string) (disconnect func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		skip(t, "cannot open /dev/fuse: "+err.Error())
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("dead", dir, "fuse", 0, options); err != nil {
		skip(t, "cannot mount: "+err.Error())
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return func() { unix.Close(fd) }
}

// The keys of the map hung are targets whose paths (of files, of a socket, and in options) lead
// to a FUSE file system that does not respond. Each attempt must time out, and all attempts
// together must block only one thread.
func TestDeadFileSystemBlocksOneThreadForAllKinds(t *testing.T) {
	if !runsInChild(t, syscall.CLONE_NEWNS) {
		return
	}
	require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	dir := t.TempDir()
	dead, alive := dir+"/dead", dir+"/alive"
	require.NoError(t, os.Mkdir(dead, 0o700))
	require.NoError(t, os.Mkdir(alive, 0o700))
	require.NoError(t, os.Symlink(dead+"/x", alive+"/link"))
	writeFile(t, alive+"/file", []byte("x"))
	listen(t, "unix", alive+"/socket", readUntilClosed)
	plain := serveHTTP(t, func(http.ResponseWriter, *http.Request) {})
	secure := serveHealth(t, nil)
	disconnect := deadFUSE(t, dead)

	const noResponse = "no response from the file system within 200ms"
	hung := map[string]string{
		"file://" + dead:                                               noResponse,
		"file://" + alive + "/link":                                    noResponse,
		"file://" + alive + "/../dead/x":                               noResponse,
		"unix://" + dead + "/socket":                                   noResponse,
		"header='X: @" + dead + "/x' " + plain:                         "cannot read the file of header= X: " + noResponse,
		"ca=" + dead + "/x https://" + secure:                          "cannot read the file of ca=: " + noResponse,
		"ca=" + alive + "/link grpcs://" + secure:                      "cannot read the file of ca=: " + noResponse,
		"cert=" + dead + "/x key=" + dead + "/x https://" + secure:     "cannot read the file of cert=: " + noResponse,
		"cert=" + alive + "/file key=" + dead + "/x grpcs://" + secure: "cannot read the file of key=: " + noResponse,
	}
	for i := range 90 {
		hung[fmt.Sprintf("file://%s/%d/x", dead, i)] = noResponse
	}
	threads := func() int {
		list, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		return len(list)
	}
	before := threads()
	var all sync.WaitGroup
	for text, want := range hung {
		for _, use := range []Use{ForWait, ForEnd} {
			all.Go(func() {
				target, want := parse(t, text, use), want
				target.Timeout = shortTimeout
				if strings.Contains(text, secure) { // a longer timeout, because first the attempt connects and may read the file of cert=, which can take 200 ms on a busy machine
					target.Timeout, want = 3*time.Second, strings.Replace(want, "200ms", "3s", 1)
				}
				if use.Hook() {
					assert.EqualError(t, RunHook(t.Context(), target, Attempt{}), want, text)
				} else {
					assert.EqualError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: target.Timeout}), want, text)
				}
			})
		}
	}
	for _, text := range []string{"file://" + alive + "/file", "unix://" + alive + "/socket", "header='X: @" + alive + "/file' " + plain} {
		all.Go(func() { assert.NoError(t, ask(t, text, ForWait), text) })
	}
	all.Wait()
	assert.Less(t, threads(), before+len(hung), "%d attempts must block only one thread", 2*len(hung))
	files.mu.Lock()
	assert.Len(t, files.hanging, 1)
	files.mu.Unlock()

	// The limit within= ends the wait although an attempt hangs.
	targets := []Target{parse(t, "within=300ms timeout=0 file://"+dead, ForWait)}
	var pending *PendingError
	require.ErrorAs(t, Wait(t.Context(), targets, Attempt{}, nil), &pending)
	assert.Len(t, pending.Pending, 1)
	assert.EqualError(t, pending.Pending[0].Last, "no answer yet")
	assert.Equal(t, hintMount, Hint(pending.Pending[0].Last))

	disconnect()
	assert.EqualError(t, ask(t, "file://"+dead+"/x", ForWait), "transport endpoint is not connected")
}

func TestSystemCertificatesAreReadWithinTheTimeout(t *testing.T) {
	if !runsInChild(t, 0) { // in a child, because a process reads the system's certificates only once
		return
	}
	a := newIssuer(t)
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	url := "https://" + serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("server")}})
	ask := func(timeout time.Duration) error {
		return parse(t, url, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: timeout})
	}
	fifo := a.path("certificates/fifo")
	require.NoError(t, os.Mkdir(a.path("certificates"), 0o700))
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for _, file := range []string{"/dev/zero", fifo, a.dir} {
		t.Setenv("SSL_CERT_FILE", file)
		assert.EqualError(t, ask(longTimeout), "cannot read the system's CA certificates: SSL_CERT_FILE is not a regular file")
	}
	t.Setenv("SSL_CERT_FILE", a.path("ca.pem"))
	t.Setenv("SSL_CERT_DIR", filepath.Dir(fifo))
	for range 2 {
		assert.EqualError(t, ask(3*time.Second), "cannot read the system's CA certificates: no response from the file system within 3s")
	}
	// When the FIFO is opened for writing and closed, the thread that reads it gets end of file.
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	writer.Close()
	assert.NoError(t, ask(longTimeout))
}

// The files of options are opened with O_NONBLOCK, so open(2) fails at once if there is a
// write lease on the file. Without O_NONBLOCK it would wait until the holder gives up the
// lease, for up to 45 s (fcntl(2)).
func TestOptionFileWithALeaseFailsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, []byte("x"))
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		skip(t, "this file system supports no leases: "+err.Error())
	}
	_, err = (&optionFile{"ca=", path}).read(t.Context(), maxPEM)
	assert.EqualError(t, err, "cannot read the file of ca=: resource temporarily unavailable")
}

// A device must not be opened, because that may have side effects. The test's device is a
// locked pseudoterminal (unlockpt(3)). If usher opened it, open(2) would fail with EIO, and
// the error would not be the expected one.
func TestOptionFileThatIsADeviceIsNotOpened(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		skip(t, "needs a pseudoterminal: "+err.Error())
	}
	defer ptmx.Close()
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	_, err = (&optionFile{"ca=", fmt.Sprintf("/dev/pts/%d", n)}).read(t.Context(), maxPEM)
	assert.EqualError(t, err, "cannot read the file of ca=: it is not a regular file")
}
