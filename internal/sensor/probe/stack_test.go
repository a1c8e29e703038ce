package probe

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// The kernel's limit for a program's stack with those of the functions that call
// one another, and the pieces in which kernels before 6.9 count each of them; see
// check_max_stack_depth in kernel/bpf/verifier.c. Later ones count smaller pieces
// where they compile programs, so that this host's kernel accepts what theirs
// refuse.
const (
	maxStack   = 512
	stackPiece = 32
)

// Every program leaves the functions enough stack on every kernel.
func TestStack(t *testing.T) {
	for object, load := range map[string]func() (*ebpf.CollectionSpec, error){"oldest": readOldest, "legacy": readLegacy, "direct": readDirect} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		for name, program := range spec.Programs {
			functions := stackFrames(program.Instructions)
			if size, chain := deepest(functions, program.Instructions[0].Symbol()); size > maxStack {
				t.Errorf("%s: %s needs %d bytes of stack, more than %d: %s", object, name, size, maxStack, chain)
			}
		}
	}
}

// frame is a function's stack and the functions that it calls, or has called.
type frame struct {
	size  int
	calls map[string]bool
}

func stackFrames(program asm.Instructions) map[string]*frame {
	frames := map[string]*frame{}
	var f *frame
	copies := map[asm.Register]bool{} // of the frame pointer
	for _, ins := range program {
		if s := ins.Symbol(); s != "" {
			f = &frame{calls: map[string]bool{}}
			frames[s] = f
		}
		if ins.IsFunctionReference() {
			f.calls[ins.Reference()] = true
		}
		switch class := ins.OpCode.Class(); {
		case class.IsLoad() && ins.Src == asm.RFP, class.IsStore() && ins.Dst == asm.RFP:
			f.size = max(f.size, -int(ins.Offset))
		case class == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.RegSource:
			copies[ins.Dst] = ins.Src == asm.RFP
		case class == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Add && ins.OpCode.Source() == asm.ImmSource && copies[ins.Dst]:
			f.size = max(f.size, -int(ins.Constant))
			copies[ins.Dst] = false
		}
	}
	return frames
}

// deepest is the size of the stacks of a function and those that it calls, and
// which they are. No function of eBPF calls itself.
func deepest(frames map[string]*frame, name string) (size int, chain string) {
	f := frames[name]
	for called := range f.calls {
		if s, c := deepest(frames, called); s > size {
			size, chain = s, c
		}
	}
	own := (max(f.size, 1) + stackPiece - 1) / stackPiece * stackPiece
	return own + size, fmt.Sprintf("%s %d, %s", name, f.size, chain)
}
