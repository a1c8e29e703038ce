package field

import (
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fdlistFields are the descriptors that poll and ppoll wait for. The event has
// their numbers; the rest is read from /proc.
func fdlistFields() []Field {
	return []Field{
		fdlist("fdlist.nums", "Numbers of the descriptors that a poll waits for, separated by commas.", func(dst []byte, fd int64, _ func() descriptor) []byte {
			return appendInt(dst, fd)
		}),
		fdlist("fdlist.names", "Names of the descriptors that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			return append(dst, get().name...)
		}),
		fdlist("fdlist.cips", "Client addresses of the sockets that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			if s := get().socket; s.client.IsValid() {
				return s.client.AppendTo(dst)
			}
			return dst
		}),
		fdlist("fdlist.sips", "Server addresses of the sockets that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			if s := get().socket; s.server.IsValid() {
				return s.server.AppendTo(dst)
			}
			return dst
		}),
		fdlist("fdlist.cports", "Client ports of the sockets that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			if s := get().socket; s.client.IsValid() {
				return strconv.AppendUint(dst, uint64(s.clientPort), 10)
			}
			return dst
		}),
		fdlist("fdlist.sports", "Server ports of the sockets that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			if s := get().socket; s.server.IsValid() {
				return strconv.AppendUint(dst, uint64(s.serverPort), 10)
			}
			return dst
		}),
	}
}

var pollSlots = slotsOf("fds")

// fdlist joins the texts that add appends for each descriptor; empty ones are
// left out.
func fdlist(name, doc string, add func(dst []byte, fd int64, get func() descriptor) []byte) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) {
		if k := c.Event.Kind(); k != event.KindPoll && k != event.KindPpoll {
			return "", false
		}
		var list []byte
		ok := eachFD(c, int(pollSlots[c.Event.Kind()]), func(fd int64, _ int16) bool {
			before := len(list)
			list = append(list, ',')
			list = add(list, fd, func() descriptor { d, _ := c.descriptor(fd); return d })
			if len(list) == before+1 {
				list = list[:before]
			}
			return true
		})
		if len(list) > 0 {
			list = list[1:]
		}
		return string(list), ok
	})
}
