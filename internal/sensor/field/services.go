package field

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// service is the name of the service on a port of the event's socket, or the
// port's number.
func (c *Context) service(port uint16) string {
	key := serviceKey{port, "tcp"}
	if f := c.fileInfo(); f != nil && f.L4Proto == unix.IPPROTO_UDP {
		key.proto = "udp"
	}
	if name := services()[key]; name != "" {
		return name
	}
	return c.keep(strconv.AppendUint(c.buf, uint64(port), 10))
}

type serviceKey struct {
	port  uint16
	proto string
}

// services are the names in /etc/services; none if that cannot be read.
var services = sync.OnceValue(func() map[serviceKey]string {
	data, err := os.ReadFile("/etc/services")
	if err != nil {
		return nil
	}
	return parseServices(string(data))
})

// parseServices reads services(5): "http 80/tcp www # World Wide Web".
func parseServices(data string) map[serviceKey]string {
	m := make(map[serviceKey]string)
	for line := range strings.Lines(data) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		number, proto, _ := strings.Cut(words[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		key := serviceKey{uint16(port), proto}
		if err == nil && m[key] == "" {
			m[key] = words[0]
		}
	}
	return m
}
