package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// memoryFile returns the name of a file in memory with data in it, for this process and the program that it becomes: it has no name in any
// folder, and ends with the process.
func memoryFile(data []byte) (string, error) {
	fd, err := unix.MemfdCreate("mongodb-admin", 0) // not closed by exec
	if err != nil {
		return "", fmt.Errorf("make a file in memory: %w", err)
	}
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			_ = unix.Close(fd)
			return "", fmt.Errorf("write a file in memory: %w", err)
		}
		data = data[n:]
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}
