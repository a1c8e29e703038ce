package field

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

var categoryNames = map[event.Category]string{
	event.Other: "other", event.FileIO: "file", event.Net: "net", event.IPC: "IPC", event.Wait: "wait",
	event.Signal: "signal", event.Sleep: "sleep", event.Time: "time", event.Process: "process",
	event.Scheduler: "scheduler", event.Memory: "memory", event.User: "user", event.System: "system",
	event.Internal: "internal",
}

// kindCategories are evt.category by kind; "" where the descriptor decides.
var kindCategories = func() (names [event.NumKinds]string) {
	for k := range names {
		names[k] = categoryNames[event.Kind(k).Info().Category]
	}
	return names
}()

func category(c *Context) string {
	if name := kindCategories[c.Event.Kind()]; name != "" {
		return name
	}
	f := c.fileInfo()
	if f == nil {
		return "unknown"
	}
	switch f.Type {
	case event.FDFile, event.FDDirectory:
		return "file"
	case event.FDIPv4, event.FDIPv6:
		return "net"
	case event.FDPipe, event.FDUnix, event.FDEvent, event.FDSignal, event.FDInotify, event.FDUserfault:
		return "ipc"
	}
	return "other"
}

// errorCount is 1 for events whose failure satisfies is. Errors of normal
// operation do not count.
func errorCount(name, doc string, is func(*Context) bool) Field {
	return unsigned(name, Uint, AtEvent, doc, func(c *Context) (uint64, bool) {
		res, ok := result(c)
		if !ok || res >= 0 {
			return 0, false
		}
		switch unix.Errno(-res) {
		case unix.EINPROGRESS, unix.EAGAIN, unix.ETIMEDOUT:
			return 0, false
		}
		return 1, is(c)
	})
}

func isFileError(c *Context) bool {
	f := c.fileInfo()
	if f != nil {
		return f.Type == event.FDFile
	}
	return isOpen(c.Event.Kind())
}

func isNetError(c *Context) bool {
	if f := c.fileInfo(); f != nil {
		return f.Type == event.FDIPv4 || f.Type == event.FDIPv6
	}
	switch c.Event.Kind() {
	case event.KindAccept, event.KindAccept4, event.KindConnect, event.KindBind:
		return true
	}
	return false
}

func isMemoryError(c *Context) bool { return c.Event.Info().Category == event.Memory }

// isSyslog says whether the event writes to the system log: its socket, or
// systemd's replacement.
func isSyslog(c *Context) bool {
	f := c.fileInfo()
	if f == nil || f.Type != event.FDUnix || c.Event.Info().Traits&event.WritesFD == 0 {
		return false
	}
	local, remote := f.UnixPaths()
	for _, path := range [...]string{local, remote} {
		if strings.HasSuffix(path, "/dev/log") || strings.HasSuffix(path, "/systemd/journal/dev-log") {
			return true
		}
	}
	return false
}
