package supervisor

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// network lists the TCP sockets of the network namespace by sock_diag(7), which works
// without /proc and for every user. If sock_diag fails, network reads /proc/net/tcp and
// /proc/net/tcp6, because sandboxes such as gVisor may not implement sock_diag.
func (s *linux) network() (n network, err error) {
	defer s.reads.take()()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, failed := dumpTCP(family)
		if failed != nil {
			if n.sockets, err = readProcNetTCP("/proc/net/tcp", "/proc/net/tcp6"); err != nil {
				return n, fmt.Errorf("sock_diag: %w; %w", failed, err)
			}
			break
		}
		n.sockets = append(n.sockets, some...)
	}
	n.opens, n.opensErr = passiveOpens("/proc/net/snmp")
	return n, nil
}

const (
	diagTimeout = 100_000 // µs; the kernel usually replies at once
	// The sizes of inet_diag_req_v2 and inet_diag_msg (linux/inet_diag.h).
	diagRequestSize, diagMessageSize = 56, 72
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
	body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
	binary.NativeEndian.PutUint32(body[4:], openStates|closingStates|1<<tcpListen)
	if _, err := syscall.Write(fd, request); err != nil {
		return nil, err
	}

	var all []socket
	datagram := make([]byte, 32<<10) // the kernel sends no larger datagrams (netlink_recvmsg in net/netlink/af_netlink.c)
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
			// NLMSG_DONE carries an errno, as NLMSG_ERROR does, if the dump failed: for example
			// because the kernel has no tcp_diag.
			if len(body) >= 4 && binary.NativeEndian.Uint32(body) != 0 {
				return nil, false, syscall.Errno(-int32(binary.NativeEndian.Uint32(body)))
			}
			return all, true, nil
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagMessageSize:
			all = append(all, parseSocket(body))
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return all, false, nil
}

// diagInfo is the type of the attribute that holds a tcp_info (INET_DIAG_INFO).
const diagInfo = 2

// parseSocket parses an inet_diag_msg and the attributes that follow it
// (linux/inet_diag.h).
func parseSocket(b []byte) socket {
	u32 := binary.NativeEndian.Uint32
	k := socket{
		state: b[1], port: binary.BigEndian.Uint16(b[4:]), inode: u32(b[68:]),
		cookie: uint64(u32(b[44:])) | uint64(u32(b[48:]))<<32,
		unread: u32(b[56:]), unsent: u32(b[60:]),
	}
	for b = b[diagMessageSize:]; len(b) >= unix.SizeofNlAttr; {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		if kind == diagInfo {
			k.parseInfo(b[unix.SizeofNlAttr:size])
		}
		b = b[min(len(b), (size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	k.ignoreFIN()
	return k
}

// parseInfo parses a tcp_info (linux/tcp.h). Its size depends on the kernel's version:
// newer kernels have more fields at the end.
func (k *socket) parseInfo(b []byte) {
	var info unix.TCPInfo
	has := func(offset uintptr, size int) bool { return len(b) >= int(offset)+size }
	if !has(unsafe.Offsetof(info.Bytes_received), 8) { // before Linux 4.1
		return
	}
	u32 := func(offset uintptr) uint32 { return binary.NativeEndian.Uint32(b[offset:]) }
	u64 := func(offset uintptr) uint64 { return binary.NativeEndian.Uint64(b[offset:]) }
	k.counted = true
	k.lastSent = time.Duration(u32(unsafe.Offsetof(info.Last_data_sent))) * time.Millisecond
	k.lastRecv = time.Duration(u32(unsafe.Offsetof(info.Last_data_recv))) * time.Millisecond
	k.lastAck = time.Duration(u32(unsafe.Offsetof(info.Last_ack_recv))) * time.Millisecond
	k.received = u64(unsafe.Offsetof(info.Bytes_received))
	k.sent = u64(unsafe.Offsetof(info.Bytes_acked))
	if has(unsafe.Offsetof(info.Data_segs_out), 4) { // from Linux 4.6 on
		k.acks = u32(unsafe.Offsetof(info.Segs_out)) - u32(unsafe.Offsetof(info.Data_segs_out))
	}
	if has(unsafe.Offsetof(info.Bytes_retrans), 8) { // from Linux 4.19 on
		k.sent = u64(unsafe.Offsetof(info.Bytes_sent)) - u64(unsafe.Offsetof(info.Bytes_retrans))
	}
}

// ignoreFIN subtracts the FINs that the client and the app have sent, because the kernel
// counts each of them as a byte.
func (k *socket) ignoreFIN() {
	switch k.state {
	case tcpCloseWait, tcpLastAck, tcpClosing:
		k.unread -= min(k.unread, 1)
		k.received -= min(k.received, 1)
	}
	if closingStates&(1<<k.state) != 0 {
		k.unsent -= min(k.unsent, 1)
	}
}

// passiveOpens returns the counter PassiveOpens (tcpPassiveOpens in RFC 4022): the number of
// TCP connections that clients have opened to this network namespace. A file in the format
// of /proc/net/snmp has two lines for each protocol: the names of its counters, and their
// values.
func passiveOpens(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		i := slices.Index(names, "PassiveOpens")
		if i < 0 {
			names = fields
			continue
		}
		if i < len(fields) {
			return strconv.ParseInt(fields[i], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no Tcp PassiveOpens", file)
}

// socketInodes finds the sockets of each process by the links in /proc/PID/fd (proc(5)). For
// a process of another user this needs CAP_SYS_PTRACE.
func (s *linux) socketInodes(ctx context.Context) (map[uint32]bool, error) {
	procs, ok := s.listProcesses(ctx)()
	defer s.reads.take()()
	all := map[uint32]bool{}
	unreadable := addSocketInodes(ctx, all, "/proc/self/fd")
	for _, p := range procs {
		err := addSocketInodes(ctx, all, "/proc/"+strconv.Itoa(p.pid)+"/fd")
		if unreadable == nil {
			unreadable = err
		}
	}
	switch {
	case ctx.Err() != nil:
		return all, errScanTimeout
	case !ok:
		return all, errors.New("/proc does not show the processes of the container")
	}
	return all, unreadable
}

var errScanTimeout = errors.New("reading /proc took too long")

// addSocketInodes adds the inodes of the sockets to which the links in dir (/proc/PID/fd)
// point. Such a link reads "socket:[4711]". It is no error if the process has exited.
func addSocketInodes(ctx context.Context, inodes map[uint32]bool, dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		link, err := os.Readlink(dir + "/" + name)
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("read %s: %w", dir, syscall.EACCES)
		}
		digits, isSocket := strings.CutPrefix(strings.TrimSuffix(link, "]"), "socket:[")
		if inode, err := strconv.ParseUint(digits, 10, 32); isSocket && err == nil {
			inodes[uint32(inode)] = true
		}
	}
	return ignoreNotExist(err)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// readProcNetTCP reads files in the format of /proc/net/tcp (proc_net(5)). It ignores a file
// that cannot be opened if another one can be, because a kernel without IPv6 has no
// /proc/net/tcp6.
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
// socket's number, its local address, its remote address, its state, its queues, two fields
// for timers, the user, the timeouts and the inode.
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
		var inode uint64
		if len(fields) > 9 {
			inode, _ = strconv.ParseUint(fields[9], 10, 32)
		}
		all = append(all, socket{state: uint8(state), port: uint16(port), inode: uint32(inode)})
	}
	return all, lines.Err()
}
