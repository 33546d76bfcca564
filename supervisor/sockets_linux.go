package supervisor

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sockets lists the TCP sockets of the network namespace by sock_diag(7), which works
// without /proc and for every user. If sock_diag fails, sockets reads /proc/net/tcp,
// because sandboxes such as gVisor may not implement sock_diag.
func (s *linux) sockets() ([]socket, error) {
	defer s.reads.take()()
	var all []socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, err := dumpTCP(family)
		if err != nil {
			all, missing := readProcNetTCP("/proc/net/tcp", "/proc/net/tcp6")
			if missing != nil {
				return nil, fmt.Errorf("sock_diag: %w; %w", err, missing)
			}
			return all, nil
		}
		all = append(all, some...)
	}
	return all, nil
}

const (
	diagTimeout = 100_000 // µs; the kernel usually replies at once
	// The size of inet_diag_req_v2, and of the part of inet_diag_msg that parseDump reads.
	diagRequestSize, diagMessageSize = 56, 6
)

// dumpTCP lists the sockets of an address family by sock_diag(7).
func dumpTCP(family uint8) ([]socket, error) {
	fd, err := syscall.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &syscall.Timeval{Usec: diagTimeout}); err != nil {
		return nil, err
	}

	request := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], busyStates|1<<tcpListen)
	if _, err := syscall.Write(fd, request); err != nil {
		return nil, err
	}

	var all []socket
	datagram := make([]byte, 32<<10) // the kernel sends no larger datagrams (netlink(7))
	for {
		n, err := syscall.Read(fd, datagram)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		some, done, err := parseDump(datagram[:n])
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); done {
			return all, nil
		}
	}
}

// parseDump parses the messages of one datagram. done reports whether this datagram ends
// the dump.
func parseDump(b []byte) (all []socket, done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return nil, false, fmt.Errorf("sock_diag: invalid message size %d", size)
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch {
		case kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR:
			// NLMSG_DONE too has an errno if the dump failed, for example if the kernel has no
			// tcp_diag.
			if len(body) >= 4 && binary.NativeEndian.Uint32(body) != 0 {
				return nil, false, syscall.Errno(-int32(binary.NativeEndian.Uint32(body)))
			}
			return all, true, nil
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagMessageSize:
			all = append(all, socket{state: body[1], port: binary.BigEndian.Uint16(body[4:])})
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return all, false, nil
}

// readProcNetTCP reads files in the format of /proc/net/tcp (proc_net(5)). It ignores a
// missing file if another of the files exists, because the kernel may lack IPv6.
func readProcNetTCP(files ...string) ([]socket, error) {
	var all []socket
	var missing error
	found := false
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			missing = err
			continue
		}
		found = true
		some, err := parseProcNetTCP(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, some...)
	}
	if !found {
		return nil, missing
	}
	return all, nil
}

// parseProcNetTCP parses one line for each socket. The first fields of a line are the
// socket's number, its local address, its remote address and its state.
func parseProcNetTCP(r io.Reader) (all []socket, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] == "st" {
			continue
		}
		_, local, _ := strings.Cut(fields[1], ":")
		port, err1 := strconv.ParseUint(local, 16, 16)
		state, err2 := strconv.ParseUint(fields[3], 16, 8)
		if err1 != nil || err2 != nil {
			return nil, errors.New("invalid line")
		}
		all = append(all, socket{state: uint8(state), port: uint16(port)})
	}
	return all, lines.Err()
}
