package field

import (
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fdlistFields are the descriptors that poll and ppoll wait for. The event has
// their numbers; the rest is read from /proc.
func fdlistFields() []Field {
	fields := []Field{
		fdlist("fdlist.nums", "Numbers of the descriptors that a poll waits for, separated by commas.", func(dst []byte, fd int64, _ func() descriptor) []byte {
			return appendInt(dst, fd)
		}),
		fdlist("fdlist.names", "Names of the descriptors that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			return append(dst, get().name...)
		}),
	}
	client, server := ends[0], ends[1]
	for _, e := range []struct {
		name, what string
		end        end
		port       bool
	}{
		{"cips", "Client addresses", client, false}, {"sips", "Server addresses", server, false},
		{"cports", "Client ports", client, true}, {"sports", "Server ports", server, true},
	} {
		fields = append(fields, fdlist("fdlist."+e.name, e.what+" of the sockets that a poll waits for, separated by commas.", func(dst []byte, _ int64, get func() descriptor) []byte {
			addr, port := e.end.addr(get().socket)
			switch {
			case !addr.IsValid():
				return dst
			case e.port:
				return strconv.AppendUint(dst, uint64(port), 10)
			}
			return addr.AppendTo(dst)
		}))
	}
	return fields
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
