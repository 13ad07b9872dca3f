package gateway

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quiet returns a function that tells whether conn's peer has neither closed it nor sent anything, without waiting: only over such a
// connection may a request go that cannot be sent twice.
func quiet(conn net.Conn) func() bool {
	peek := make([]byte, 1)
	nothing := false
	look := func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), peek, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		nothing = err == unix.EAGAIN
		return true
	}
	var raw syscall.RawConn
	if c, is := conn.(syscall.Conn); is {
		raw, _ = c.SyscallConn() // nil where it is closed
	}
	return func() bool {
		nothing = false
		return raw != nil && raw.Read(look) == nil && nothing
	}
}
