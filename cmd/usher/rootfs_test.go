package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var imageNumber atomic.Int64

// imageName returns a name that no other image has, not even one of another run of the tests
// at the same time. An image with this name is removed at the end of the test.
func imageName(t *testing.T, kind string) string {
	t.Helper()
	name := fmt.Sprintf("usher-test/%s:%d-%d", kind, os.Getpid(), imageNumber.Add(1))
	docker.cleanup(t, "rmi", "--force", name)
	return name
}

// usherImage builds an image that contains usher. It uses docker build, as users do.
func usherImage(t *testing.T, base, dockerfile string) string {
	t.Helper()
	name := imageName(t, "usher")
	root := newRootfs(t)
	root.file("Dockerfile", 0o644, []byte("FROM "+base+"\nCOPY usher /usher\n"+dockerfile+"\n"))
	root.copy(binary(t), "usher")
	docker.run(t, root.tar(), "build", "--tag", name, "-")
	return name
}

// busyboxImage makes an image that contains only a static busybox.
func busyboxImage(t *testing.T) string {
	t.Helper()
	root := newRootfs(t)
	root.busybox()
	return root.image("busybox")
}

// download is the file that nginx serves at /download. A download takes about ten seconds,
// because of limit_rate in nginxConf.
var download = bytes.Repeat([]byte("0123456789abcde\n"), 64_000)

const nginxConf = `
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr;
events { }
http {
	access_log /dev/stdout;
	default_type text/plain;
	server {
		listen 80;
		root /usr/share/nginx/html;
		location = /download { limit_rate 100k; }
	}
}
`

func nginxImage(t *testing.T) string {
	t.Helper()
	return nginxRoot(t).image("nginx")
}

// nginxRoot returns a file system with this machine's nginx, its libraries, and busybox.
func nginxRoot(t *testing.T) *rootfs {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // a user's PATH often lacks this directory
	}
	if _, err := os.Stat(nginx); err != nil {
		skip(t, "no nginx on this machine (Debian: nginx-light)")
	}
	root := newRootfs(t)
	root.busybox()
	root.copy(nginx, "usr/sbin/nginx")
	root.libraries(nginx)
	root.site()
	root.file("etc/passwd", 0o644, []byte("root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/false\n"))
	root.file("etc/group", 0o644, []byte("root:x:0:\nwww-data:x:33:\n"))
	for _, dir := range []string{"run", "var/lib/nginx", "var/log/nginx"} {
		root.dir(dir)
	}
	return root
}

// site adds the files that nginx serves, and its configuration.
func (r *rootfs) site() {
	r.Helper()
	r.file("etc/nginx/nginx.conf", 0o644, []byte(nginxConf))
	r.file("usr/share/nginx/html/index.html", 0o644, []byte("Hello from nginx.\n"))
	r.file("usr/share/nginx/html/download", 0o644, download)
}

// dockerVolume makes an empty volume.
func dockerVolume(t *testing.T) string {
	t.Helper()
	name := strings.TrimSpace(docker.run(t, nil, "volume", "create"))
	docker.cleanup(t, "volume", "rm", "--force", name)
	return name
}

// rootfs is a file system that is written as a tar archive.
type rootfs struct {
	*testing.T
	buf  bytes.Buffer
	w    *tar.Writer
	made map[string]bool
}

func newRootfs(t *testing.T) *rootfs {
	r := &rootfs{T: t, made: map[string]bool{".": true}}
	r.w = tar.NewWriter(&r.buf)
	return r
}

func (r *rootfs) write(h *tar.Header, data []byte) {
	r.Helper()
	r.dir(path.Dir(h.Name))
	h.Size = int64(len(data))
	require.NoError(r.T, r.w.WriteHeader(h))
	_, err := r.w.Write(data)
	require.NoError(r.T, err)
}

func (r *rootfs) dir(name string) {
	r.Helper()
	if r.made[name] {
		return
	}
	r.made[name] = true
	r.write(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, nil)
}

func (r *rootfs) file(name string, mode fs.FileMode, data []byte) {
	r.Helper()
	r.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode)}, data)
}

// libraries adds the libraries that a program of this machine needs.
func (r *rootfs) libraries(program string) {
	r.Helper()
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(outputOf(r.T, "ldd", program), -1) {
		r.once(lib)
	}
}

// once adds a file of this machine under the same path, unless the rootfs already has it.
func (r *rootfs) once(path string) {
	r.Helper()
	if !r.made[path] {
		r.made[path] = true
		r.copy(path, path)
	}
}

// copy adds a file of this machine with mode 0755. It follows symbolic links.
func (r *rootfs) copy(from, to string) {
	r.Helper()
	data, err := os.ReadFile(from)
	require.NoError(r.T, err)
	r.file(strings.TrimPrefix(to, "/"), 0o755, data)
}

// busybox adds the static busybox, with a link for each of its commands.
func (r *rootfs) busybox() {
	r.Helper()
	busybox, err := exec.LookPath("busybox")
	if errors.Is(err, exec.ErrNotFound) {
		skip(r.T, "no busybox on this machine (Debian: busybox-static)")
	}
	require.NoError(r.T, err)
	r.copy(busybox, "bin/busybox")
	for _, applet := range strings.Fields(outputOf(r.T, busybox, "--list")) {
		if applet != "busybox" {
			r.write(&tar.Header{Typeflag: tar.TypeSymlink, Name: filepath.Join("bin", applet), Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
}

func (r *rootfs) tar() io.Reader {
	r.Helper()
	require.NoError(r.T, r.w.Close())
	return &r.buf
}

// image imports the file system into Docker as an image.
func (r *rootfs) image(kind string) string {
	r.Helper()
	name := imageName(r.T, kind)
	docker.run(r.T, r.tar(), "import", "-", name)
	return name
}

// program adds a program of this machine, with the libraries that it needs.
func (r *rootfs) program(name string) {
	r.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(r.T, fmt.Sprintf("no %s on this machine (Debian: postgresql, redis-server)", name))
	}
	r.once(path)
	r.libraries(path)
}
