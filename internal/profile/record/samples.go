package record

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

// sample is struct sample in record.c.
type sample struct {
	Facts  uint32
	Length int32
	Nr     uint64
	Args   [3]uint64
	Data   [256]byte
}

const (
	mostSamples = 1 << 16 // of each figure: later ones are not kept
	mostNames   = 20      // paths that are named
)

// samples holds the sampled arguments. Paths are kept as hashes, to tell new
// ones, unless names were requested.
type samples struct {
	seed     maphash.Seed
	seen     map[uint64]struct{}
	names    map[string]float64 // nil: not asked for
	paths    uint64
	relative uint64
	depths   []float64

	sockets       map[profile.Socket]float64
	arguments     []float64
	argumentBytes []float64
	lifetimes     []float64
}

func newSamples(names bool) *samples {
	s := &samples{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, sockets: map[profile.Socket]float64{}}
	if names {
		s.names = map[string]float64{}
	}
	return s
}

// drain takes samples until the reader is closed.
func (s *samples) drain(reader *ringbuf.Reader) error {
	var record ringbuf.Record
	for {
		err := reader.ReadInto(&record)
		if errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read samples: %w", err)
		}
		var one sample
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &one); err != nil {
			return fmt.Errorf("sample of %d bytes: %w", len(record.RawSample), err)
		}
		s.add(&one)
	}
}

func (s *samples) add(one *sample) {
	data := one.Data[:max(0, min(int(one.Length), len(one.Data)))]
	switch one.Facts {
	case pathFirst, pathSecond:
		if path, _, ended := bytes.Cut(data, []byte{0}); ended && len(path) > 0 {
			s.path(path)
		}
	case socketFacts:
		s.sockets[profile.Socket{Call: "socket", Family: family(one.Args[0]), Protocol: protocol(one.Args[1])}]++
	case addressSecond:
		if len(data) > 0 {
			s.sockets[address(callOf(one.Nr), data)]++
		}
	case execFacts:
		s.arguments = keep(s.arguments, float64(one.Args[0]))
		s.argumentBytes = keep(s.argumentBytes, float64(one.Args[1]))
	case exitFacts:
		s.lifetimes = keep(s.lifetimes, time.Duration(min(one.Args[0], math.MaxInt64)).Seconds())
	}
}

func keep(list []float64, x float64) []float64 {
	if len(list) == mostSamples {
		return list
	}
	return append(list, x)
}

func (s *samples) path(path []byte) {
	s.paths++
	if hash := maphash.Bytes(s.seed, path); len(s.seen) < mostSamples {
		s.seen[hash] = struct{}{}
	}
	if path[0] != '/' {
		s.relative++
	}
	depth := 0
	for part := range bytes.SplitSeq(path, []byte("/")) {
		if len(part) > 0 {
			depth++
		}
	}
	s.depths = keep(s.depths, float64(depth))
	if s.names != nil && (len(s.names) < mostSamples || s.names[string(path)] > 0) {
		s.names[string(path)]++
	}
}

// complete adds the samples to a profile.
func (s *samples) complete(p *profile.Profile) {
	p.Processes.Lifetime = profile.NewQuantiles(s.lifetimes)
	p.Processes.Arguments = profile.NewQuantiles(s.arguments)
	p.Processes.ArgumentBytes = profile.NewQuantiles(s.argumentBytes)
	if len(s.sockets) > 0 {
		p.Sockets = profile.NewSockets(s.sockets)
	}
	if s.paths == 0 {
		return
	}
	of := func(n uint64) float64 { return math.Round(float64(n)/float64(s.paths)*1e4) / 1e4 }
	p.Paths = &profile.Paths{Sampled: s.paths, Distinct: of(uint64(len(s.seen))), Relative: of(s.relative), Depth: profile.NewQuantiles(s.depths)}
	for path, n := range s.names {
		p.Paths.Names = append(p.Paths.Names, profile.Named{Path: strings.ToValidUTF8(path, "?"), Share: of(uint64(n))})
	}
	slices.SortFunc(p.Paths.Names, func(a, b profile.Named) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Path, b.Path))
	})
	p.Paths.Names = p.Paths.Names[:min(mostNames, len(p.Paths.Names))]
}

// callOf is the syscall's name without its variants.
func callOf(nr uint64) string {
	if nr >= numbers {
		return ""
	}
	return strings.TrimSuffix(names[nr], "4")
}

var families = map[uint64]string{unix.AF_UNIX: "unix", unix.AF_INET: "ipv4", unix.AF_INET6: "ipv6", unix.AF_NETLINK: "netlink",
	unix.AF_PACKET: "packet", unix.AF_ALG: "alg", unix.AF_VSOCK: "vsock"}

func family(n uint64) string {
	if name, ok := families[n]; ok {
		return name
	}
	return fmt.Sprintf("family %d", uint16(n))
}

// protocol names the type of a socket, without its flags: socket(2).
func protocol(typ uint64) string {
	switch typ & 0xf {
	case unix.SOCK_STREAM:
		return "stream"
	case unix.SOCK_DGRAM:
		return "dgram"
	case unix.SOCK_RAW:
		return "raw"
	case unix.SOCK_SEQPACKET:
		return "seqpacket"
	}
	return "other"
}

// address returns the kind of a sockaddr, without the address itself.
func address(call string, data []byte) profile.Socket {
	if len(data) < 2 {
		return profile.Socket{Call: call, Family: "none"}
	}
	af := uint64(binary.NativeEndian.Uint16(data))
	s := profile.Socket{Call: call, Family: family(af)}
	switch {
	case af == unix.AF_UNIX:
		s.Locality = "local"
	case af == unix.AF_INET && len(data) >= 8:
		s.Locality = locality(netip.AddrFrom4([4]byte(data[4:8])))
	case af == unix.AF_INET6 && len(data) >= 24:
		s.Locality = locality(netip.AddrFrom16([16]byte(data[8:24])).Unmap())
	}
	return s
}

func locality(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "any"
	case a.IsLoopback():
		return "loopback"
	case a.IsPrivate(), a.IsLinkLocalUnicast():
		return "private"
	case a.IsMulticast():
		return "multicast"
	}
	return "public"
}
