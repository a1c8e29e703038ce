// app is the only program of the tests' images. Its name or its first argument
// selects its task.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	args := os.Args
	if name := filepath.Base(args[0]); name == "app" && len(args) > 1 {
		args = args[1:]
	}
	switch filepath.Base(args[0]) {
	case "sleep":
		sleep()
	case "open":
		open(args[1])
	case "pause": // first a file, then as above
		open(args[1])
		sleep()
	case "connect": // a datagram socket: nothing is sent
		if c, err := net.Dial("udp", args[1]); err == nil {
			c.Close()
		}
	default: // a name that rules look for: debugfs, mount
		fmt.Println(args[0], "was called")
	}
}

// sleep waits for a signal to end.
func sleep() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	<-c
}

func open(path string) {
	if f, err := os.Open(path); err == nil {
		f.Close()
	}
}
