package main

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// lockImages takes a lock, and holds it until the end of the test. Only one run of the tests
// on this machine may use the images of the examples at a time, because each run removes
// the images that it has made. The lock is on the directory for temporary files, so that
// there is no lock file to remove.
func lockImages(t *testing.T) {
	t.Helper()
	dir, err := os.Open(os.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { dir.Close() })
	require.NoError(t, syscall.Flock(int(dir.Fd()), syscall.LOCK_EX))
}

// images builds the container images of the examples. It builds an image when a test first
// needs it.
type images struct {
	parent *testing.T // the images are removed at the end of this test
	mu     sync.Mutex
	made   map[string]bool
}

func (i *images) need(t *testing.T, names ...string) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range names {
		if i.made[name] {
			continue
		}
		if name == "usher" {
			i.usher(t)
		} else if !docker.succeeds(t, "image", "inspect", name) { // an existing image is used, and not removed at the end
			root, dockerfile := standIns[name](t)
			docker.cleanup(i.parent, "rmi", name)
			docker.run(t, strings.NewReader("FROM "+root.image("base")+"\nENV PATH=/usr/sbin:/usr/bin:/bin\n"+dockerfile), "build", "--tag", name, "-")
		}
		i.made[name] = true
	}
}

// usher makes usher's own image with "make image", as the examples say. If the name "usher"
// belonged to another image before, that image gets the name back at the end of the test.
func (i *images) usher(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		skip(t, "needs make")
	}
	if older, _, code := docker.output(t, nil, "image", "inspect", "--format", "{{.Id}}", "usher"); code == 0 {
		docker.cleanup(i.parent, "tag", strings.TrimSpace(older), "usher")
	}
	docker.cleanup(i.parent, "rmi", "usher")
	_, stderr, code := launcher{hostPID: true, dir: sources(t)}.run(t, "make", "image")
	require.Equal(t, 0, code, lastLines(stderr))
}

// podman copies images from Docker to podman.
func (i *images) podman(t *testing.T, podman engine, names ...string) {
	t.Helper()
	i.need(t, names...)
	archive := filepath.Join(t.TempDir(), "images.tar")
	docker.run(t, nil, append([]string{"save", "--output", archive}, names...)...)
	podman.run(t, nil, "load", "--input", archive)
}

// standIns maps the name of a real image to a function that makes a replacement from this
// machine's packages. The replacement has the stop signal of the real image, and the commands
// and directories that the examples use.
var standIns = map[string]func(*testing.T) (root *rootfs, dockerfile string){
	"busybox:1.36":      standInBusybox,
	"busybox:1.36-musl": standInBusybox,
	"nginx:1.27": func(t *testing.T) (*rootfs, string) {
		return nginxRoot(t), "STOPSIGNAL SIGQUIT"
	},
	"redis:7": func(t *testing.T) (*rootfs, string) {
		root := newRootfs(t)
		root.program("redis-server")
		return root, `CMD ["redis-server", "--protected-mode", "no"]`
	},
	"postgres:16": standInPostgres,
}

func standInBusybox(t *testing.T) (*rootfs, string) {
	root := newRootfs(t)
	root.busybox()
	root.write(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777}, nil)
	return root, ""
}

// standInPostgres makes an image that, like the real image, first makes a database. After
// that it starts a server that accepts connections from other containers.
func standInPostgres(t *testing.T) (*rootfs, string) {
	t.Helper()
	servers, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	require.NoError(t, err)
	if len(servers) == 0 {
		skip(t, "no PostgreSQL on this machine (Debian: postgresql)")
	}
	bin := filepath.Dir(servers[len(servers)-1])
	root := newRootfs(t)
	root.busybox()
	root.program(filepath.Join(bin, "postgres"))
	root.program(filepath.Join(bin, "initdb"))
	for _, lib := range []string{"plpgsql.so", "dict_snowball.so"} {
		root.copy(filepath.Join(bin, "../lib", lib), filepath.Join(bin, "../lib", lib))
	}
	share := strings.Replace(filepath.Dir(bin), "/lib/", "/share/", 1)
	require.NoError(t, filepath.WalkDir(share, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			root.copy(path, path)
		}
		return err
	}))
	root.file("etc/passwd", 0o644, []byte("postgres:x:999:999::/:/bin/sh\n"))
	for _, dir := range []string{"data", "var/run/postgresql"} {
		root.write(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o700, Uid: 999, Gid: 999}, nil)
	}
	root.file("entrypoint", 0o755, fmt.Appendf(nil, `#!/bin/sh -e
PATH=%s:$PATH PGDATA=/data
export PGDATA
initdb --username="$POSTGRES_USER" --auth=trust --no-locale --no-sync
echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>/data/pg_hba.conf
echo "CREATE DATABASE $POSTGRES_USER" | postgres --single postgres
exec postgres -c listen_addresses='*'
`, bin))
	return root, "USER postgres\nSTOPSIGNAL SIGINT\n" + `ENTRYPOINT ["/entrypoint"]`
}
