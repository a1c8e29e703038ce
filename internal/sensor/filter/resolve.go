package filter

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Lookup finds a field by its text, argument included: "proc.aname[2]".
type Lookup func(text string) (*field.Field, field.Extractor, error)

// unresolved is the Stage of a field before Resolve: nothing is known of it.
const unresolved = field.AtEvent

// Resolver resolves trees.
type Resolver struct{ c *Compiler }

// NewResolver returns a Resolver that finds fields with lookup.
func NewResolver(lookup Lookup) *Resolver { return &Resolver{NewCompiler(lookup)} }

// Resolve looks up every field of the tree, notes when its value becomes
// known, and checks types, operators and values by compiling each check, if it
// has not seen the same before. The error is an *Error.
//
// It is the one function that modifies a tree, and does it once: a second
// Resolve with the same catalogue changes nothing.
func (r *Resolver) Resolve(n Node) error {
	var failed error
	Walk(n, func(n Node) {
		if failed != nil {
			return
		}
		switch n := n.(type) {
		case *Macro:
			failed = &Error{Pos: n.At, Msg: fmt.Sprintf("Undefined macro '%s' used in filter.", n.Name)}
		case *Check:
			n.fields(func(f *Field) {
				found, ex, err := r.c.lookup(f.String())
				if err == nil && f.Stage != ex.Stage {
					f.Stage = ex.Stage
				}
				if never := err == nil && found.Flags&field.NeverSet != 0; f.NeverSet != never {
					f.NeverSet = never
				}
				if metadata := err == nil && found.Flags&field.Metadata != 0; f.Metadata != metadata {
					f.Metadata = metadata
				}
			})
			_, failed = r.c.internCheck(n)
		}
	})
	return failed
}

// Resolve resolves one tree.
func Resolve(n Node, lookup Lookup) error { return NewResolver(lookup).Resolve(n) }

// knownEvent says whether name can be the value of evt.type: a kind of event,
// a syscall, or an event of Falco's that does not occur here.
func knownEvent(name string) bool {
	if _, ok := event.KindByName(name); ok {
		return true
	}
	if _, ok := event.SyscallByName(name); ok {
		return true
	}
	return elsewhere[name]
}

// elsewhere are names that rules for other machines use: events that the
// sensor does not make, older names of syscalls, and syscalls of architectures
// that it does not run on (numbered in golang.org/x/sys for riscv64, s390x,
// ppc64le, loong64 and mips). They load, and never happen.
var elsewhere = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`
		page_fault procinfo infra notification cpu_hotplug pluginevent tracer k8s mesos
		sysdigevent syslog scapevent NA plugininit prlimit64 umount2 newselect
		cachectl cacheflush multiplexer riscv_flush_icache riscv_hwprobe rtas s390_guarded_storage s390_pci_mmio_read
		s390_pci_mmio_write s390_runtime_instr s390_sthyi spu_create spu_run subpage_prot swapcontext switch_endian
		sync_file_range2 sys_debug_setcontext syscall sysmips timerfd`) {
		names[name] = true
	}
	return names
}()
