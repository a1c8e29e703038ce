package record

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// emptyProgram is at the hook and does nothing: the price of the hook itself.
func emptyProgram(b *testing.B) (detach func()) {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sys_exit", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	needs.That(b, "eBPF", err)
	defer p.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	needs.That(b, "eBPF", err)
	return func() { _ = l.Close() }
}
