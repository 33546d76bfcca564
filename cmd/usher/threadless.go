package main

import (
	"io"
	"net"
	"sync"
	"syscall"
	"unsafe"
)

// threadless is a TCP connection. All such connections together make the Go runtime start at
// most one more thread.
//
// The sockets of package net are non-blocking. But on a busy machine the kernel often preempts
// the thread during a read(2) or write(2). The runtime then assumes that the call blocks,
// and starts a thread to run the other goroutines. Read and Write avoid that by RawSyscall,
// which the runtime does not notice. Close cannot use RawSyscall, because package net makes
// the system call. A mutex allows only one Close at a time, so all Close calls together need
// at most one more thread.
type threadless struct {
	net.Conn
	raw syscall.RawConn
}

var closing sync.Mutex

func newThreadless(conn net.Conn) net.Conn {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return conn
	}
	return &threadless{conn, raw}
}

func (c *threadless) Close() error {
	closing.Lock()
	defer closing.Unlock()
	return c.Conn.Close()
}

func (c *threadless) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err = transfer(c.raw.Read, syscall.SYS_READ, b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *threadless) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var some int
		some, err = transfer(c.raw.Write, syscall.SYS_WRITE, b[n:])
		n += some
	}
	return n, err
}

// transfer makes a system call on the socket. If the call fails with EAGAIN, transfer waits
// until the socket is ready and tries again. whenReady is the Read or Write method of a
// syscall.RawConn.
func transfer(whenReady func(func(fd uintptr) bool) error, call uintptr, b []byte) (int, error) {
	var n uintptr
	var errno syscall.Errno
	err := whenReady(func(fd uintptr) bool {
		n, _, errno = syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		return errno != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	}
	return int(n), nil
}
