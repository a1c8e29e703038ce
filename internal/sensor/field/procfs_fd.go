package field

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// descriptor is one descriptor of a process, read from /proc.
type descriptor struct {
	kind   event.FDType
	name   string
	socket socket
}

// anonymous are the names of /proc/PID/fd/N for descriptors without a file.
var anonymous = map[string]event.FDType{
	"[eventfd]": event.FDEvent, "[eventpoll]": event.FDEventPoll, "inotify": event.FDInotify,
	"[signalfd]": event.FDSignal, "[timerfd]": event.FDTimer, "[pidfd]": event.FDPID,
	"[userfaultfd]": event.FDUserfault, "[io_uring]": event.FDIOURing,
	"bpf-map": event.FDBPF, "bpf-prog": event.FDBPF, "bpf_link": event.FDBPF,
}

// descriptor reads /proc/PID/fd/N of the event's process.
func (c *Context) descriptor(fd int64) (descriptor, bool) {
	path, ok := c.procFile("fd/" + strconv.FormatInt(fd, 10))
	if !ok || fd < 0 {
		return descriptor{}, false
	}
	link, err := os.Readlink(path)
	if err != nil {
		return descriptor{}, false
	}
	kind, of, found := strings.Cut(link, ":")
	switch {
	case strings.HasPrefix(link, "/memfd:"):
		return descriptor{kind: event.FDMemfd, name: link}, true
	case strings.HasPrefix(link, "/"):
		d := descriptor{kind: event.FDFile, name: link}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			d.kind = event.FDDirectory
		}
		return d, true
	case found && kind == "pipe":
		return descriptor{kind: event.FDPipe, name: link}, true
	case found && kind == "socket":
		return c.socketDescriptor(strings.Trim(of, "[]")), true
	case found && kind == "anon_inode":
		return descriptor{kind: anonymous[of]}, true
	}
	return descriptor{name: link}, true
}

// socketDescriptor finds a socket by its inode in the tables of the process's
// network namespace.
func (c *Context) socketDescriptor(inode string) descriptor {
	for _, table := range []struct {
		file string
		kind event.FDType
	}{
		{"tcp", event.FDIPv4}, {"tcp6", event.FDIPv6}, {"udp", event.FDIPv4}, {"udp6", event.FDIPv6},
		{"raw", event.FDIPv4}, {"raw6", event.FDIPv6},
	} {
		for line := range strings.Lines(c.readProc("net/" + table.file)) {
			// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
			w := strings.Fields(line)
			if len(w) < 10 || w[9] != inode {
				continue
			}
			s := parseEnds(w[1], w[2], w[3] == "0A")
			return descriptor{kind: table.kind, name: string(appendTuple(nil, s)), socket: s}
		}
	}
	for line := range strings.Lines(c.readProc("net/unix")) {
		// Num RefCount Protocol Flags Type St Inode Path
		if w := strings.Fields(line); len(w) >= 7 && w[6] == inode {
			return descriptor{kind: event.FDUnix, name: strings.Join(w[7:], " ")}
		}
	}
	return descriptor{kind: event.FDOtherSocket}
}

// parseEnds reads the addresses of /proc/net/tcp: which end is the client is
// not told, so that the higher port is taken for it.
func parseEnds(local, remote string, listening bool) socket {
	l, lport := parseEnd(local)
	r, rport := parseEnd(remote)
	switch {
	case listening || rport == 0:
		return socket{server: l, serverPort: lport, isServer: lport != 0}
	case lport < rport:
		return socket{r, l, rport, lport, true, true}
	}
	return socket{l, r, lport, rport, false, true}
}

// parseEnd reads "0100007F:1F90": an address as 32-bit words of the machine,
// and a port.
func parseEnd(s string) (netip.Addr, uint16) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, 0
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	n, _ := strconv.ParseUint(port, 16, 16)
	return a.Unmap(), uint16(n)
}

// typesField is fd.types: the types of all descriptors, or of one.
func typesField() Field {
	return Field{
		Name: "fd.types", Type: String, Match: List, Stage: AtEvent, Arg: ArgAllowed, Flags: NoRHS,
		Doc: "Types of all open descriptors of the process, each type once; fd.types[N] is the type of descriptor N. They are read from /proc when the field is evaluated, instead of at the event, if the event is not a syscall, if N is above 63, if the process has room for more than 4096 descriptors, or on kernels before 6.2. A rule with this field makes the kernel look at every descriptor of the process in each call of the rule's event types.",
		Bind: func(arg string) (Extractor, error) {
			if arg == "" {
				return Extractor{Type: String, Match: List, Stage: AtEvent, Each: eachType}, nil
			}
			n, err := index(arg)
			if err != nil {
				return Extractor{}, err
			}
			return Extractor{Type: String, Match: List, Stage: AtEvent, Each: func(c *Context, yield func(string) bool) bool {
				t, ok := c.typeOf(int64(n))
				if ok {
					yield(nameOfType(t))
				}
				return ok
			}}, nil
		},
	}
}

// OfOpenFDs are the fields that are about all open descriptors of a process: the
// probe sends those only for rules that have one of these.
var OfOpenFDs = []string{"fd.types", "proc.stdin.type", "proc.stdout.type", "proc.stderr.type"}

// eachType gives the types that have a name, each once.
func eachType(c *Context, yield func(string) bool) bool {
	all, known := c.openTypes()
	var types []string
	for t := range fdTypes {
		if all&(1<<t) != 0 && fdTypes[t].name != na {
			types = append(types, fdTypes[t].name)
		}
	}
	slices.Sort(types)
	for _, t := range slices.Compact(types) {
		if !yield(t) {
			break
		}
	}
	return known && len(types) > 0
}

// openTypes are the types of the open descriptors of the event's process, as
// bits: those that the event tells, of the capture, or that /proc has now.
func (c *Context) openTypes() (types uint64, known bool) {
	if fds, ok := c.Event.OpenFDs(); ok {
		if types, ok := fds.All(); ok {
			return types, true
		}
	}
	if of := c.static().FDTypes; of != nil {
		known = of(c.Proc.PID, func(_ int64, t event.FDType) { types |= 1 << t })
		return types, known
	}
	dir, ok := c.procFile("fd")
	if !ok {
		return 0, false
	}
	paths, _ := filepath.Glob(dir + "/*")
	for _, path := range paths {
		fd, err := strconv.ParseInt(filepath.Base(path), 10, 32)
		if err != nil {
			continue
		}
		if d, ok := c.descriptor(fd); ok {
			types |= 1 << d.kind
		}
	}
	return types, true
}

// typeOf is the type of one descriptor, from the same sources.
func (c *Context) typeOf(fd int64) (t event.FDType, open bool) {
	if fds, ok := c.Event.OpenFDs(); ok {
		if t, open, known := fds.At(fd); known {
			return t, open
		}
	}
	if of := c.static().FDTypes; of != nil {
		of(c.Proc.PID, func(n int64, found event.FDType) {
			if n == fd {
				t, open = found, true
			}
		})
		return t, open
	}
	d, ok := c.descriptor(fd)
	return d.kind, ok
}
