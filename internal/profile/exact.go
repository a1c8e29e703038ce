package profile

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Exact is the calls of a strand, slot by slot.
type Exact struct {
	Windows int    // its length
	Busy    []Busy // in order
}

// Busy is a slot with calls, counted from the start.
type Busy struct{ Slot, Calls uint32 }

// watched are the syscalls that sensors look at: processes, connections, changes
// of names, modes and owners, privileges. Frequent calls hide when they came, and
// a sensor's work depends on it: on how long it can rest between them.
var watched = func() map[string]bool {
	is := map[string]bool{}
	for name := range strings.FieldsSeq(`clone clone3 fork vfork execve execveat exit_group
		socket connect accept accept4 bind listen
		creat rename renameat renameat2 unlink unlinkat link linkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat
		chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat chdir fchdir dup2 dup3 mount umount2 memfd_create
		setuid setgid setresuid setresgid setgroups capset setsid unshare setns ptrace bpf init_module finit_module`) {
		is[name] = true
	}
	return is
}()

// Watched says whether the calls of a syscall are counted slot by slot.
func Watched(syscall string) bool { return watched[syscall] }

// exactPerSecond is how many busy slots all strands together may have, so that a
// minute of them takes less than 30 kB: those with the most lose them.
const exactPerSecond = 150

// tracked is a strand's busy slots on their way. The counts are whole numbers: what
// is cut off of one counts for the next.
type tracked struct {
	busy  []Busy
	carry float64
}

// add takes the slots of a window and returns the calls in it.
func (e *tracked) add(window int, slots *[Slots]float64) (sum uint32) {
	for i := range slots {
		n := max(0, math.Round(min(slots[i]+e.carry, mostInSlot))) // half a call may be owed
		e.carry += slots[i] - n
		if n > 0 {
			e.busy = append(e.busy, Busy{uint32(window*Slots + i), uint32(n)})
			sum += uint32(n)
		}
	}
	return sum
}

// exactKeys are the strands that keep their exact slots: those with few of them
// first.
func (b *Builder) exactKeys() map[strandKey]bool {
	var keys []strandKey
	for key, c := range b.strands {
		if c.exact != nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y strandKey) int {
		return cmp.Or(cmp.Compare(len(b.strands[x].exact.busy), len(b.strands[y].exact.busy)), cmp.Compare(x.syscall, y.syscall), index(x.container)-index(y.container))
	})
	kept := map[strandKey]bool{}
	left := exactPerSecond * max(1, int(b.Elapsed().Seconds()))
	for _, key := range keys {
		if left -= len(b.strands[key].exact.busy); left < 0 {
			break
		}
		kept[key] = true
	}
	return kept
}

// The text of busy slots has, for each, the number of idle slots before it and
// the number of its calls, and at last the idle slots up to the end. The first is
// written in digits, the second in letters, each with the lowest place first: so
// no marks are needed between them.
const (
	letters    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mostInSlot = math.MaxUint32 / Slots // a window's count is of 32 bits
)

// MarshalText implements encoding.TextMarshaler.
func (e Exact) MarshalText() ([]byte, error) {
	var b strings.Builder
	next := uint32(0)
	for _, s := range e.Busy {
		write(&b, s.Slot-next, digits)
		write(&b, s.Calls, letters)
		next = s.Slot + 1
	}
	write(&b, uint32(e.Windows*Slots)-next, digits)
	return []byte(b.String()), nil
}

func write(b *strings.Builder, n uint32, alphabet string) {
	for base := uint32(len(alphabet)); ; n /= base {
		b.WriteByte(alphabet[n%base])
		if n < base {
			return
		}
	}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Exact) UnmarshalText(text []byte) error {
	*e = Exact{}
	left := string(text)
	for next := uint64(0); ; next++ {
		var idle, calls uint64
		idle, left = read(left, digits)
		if next += idle; next > mostWindows*Slots {
			return fmt.Errorf("exact: more than %d windows", mostWindows)
		}
		if left == "" {
			e.Windows = int(next / Slots)
			if next%Slots != 0 {
				return fmt.Errorf("exact: %d slots: expected whole windows of %d", next, Slots)
			}
			return nil
		}
		at := left
		if calls, left = read(left, letters); calls == 0 || calls > mostInSlot {
			return fmt.Errorf("exact: %d calls at %.20q: expected 1 to %d, in letters", calls, at, mostInSlot)
		}
		e.Busy = append(e.Busy, Busy{uint32(next), uint32(calls)})
	}
}

// read takes a number off the start of the text. One that is too large comes out
// as the largest.
func read(text, alphabet string) (n uint64, rest string) {
	place := uint64(1)
	for i := range len(text) {
		digit := strings.IndexByte(alphabet, text[i])
		if digit < 0 {
			return n, text[i:]
		}
		if place > math.MaxUint32 {
			n = math.MaxUint32
			continue
		}
		n += uint64(digit) * place
		place *= uint64(len(alphabet))
	}
	return n, ""
}

// counts are calls per window.
func (e *Exact) counts() []uint32 {
	counts := make([]uint32, e.Windows)
	for _, s := range e.Busy {
		counts[s.Slot/Slots] += s.Calls
	}
	return counts
}

// windows is a part of it.
func (e *Exact) windows(from, to int) *Exact {
	part := &Exact{Windows: to - from}
	first := uint32(from * Slots)
	i, _ := slices.BinarySearchFunc(e.Busy, first, func(s Busy, slot uint32) int { return cmp.Compare(s.Slot, slot) })
	for ; i < len(e.Busy) && e.Busy[i].Slot < uint32(to*Slots); i++ {
		part.Busy = append(part.Busy, Busy{e.Busy[i].Slot - first, e.Busy[i].Calls})
	}
	return part
}

// exactly is the strand slot by slot, as far as that is known: the calls of a
// window are in the first slot that is busy.
func (s *Strand) exactly() *Exact {
	if s.Exact != nil {
		return s.Exact
	}
	e := &Exact{Windows: len(s.Counts)}
	for i, n := range s.Counts {
		if n > 0 {
			slots := s.Busy(i)
			e.Busy = append(e.Busy, Busy{uint32(i*Slots + slices.Index(slots[:], true)), min(n, mostInSlot)})
		}
	}
	return e
}

// follow is both, one after another.
func (e *Exact) follow(o *Exact) *Exact {
	both := &Exact{Windows: e.Windows + o.Windows, Busy: slices.Clip(e.Busy)}
	for _, s := range o.Busy {
		both.Busy = append(both.Busy, Busy{uint32(e.Windows*Slots) + s.Slot, s.Calls})
	}
	return both
}
