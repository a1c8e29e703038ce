package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// findSymbol is the address of a symbol of the kernel's, by a list such as
// /proc/kallsyms.
func findSymbol(list io.Reader, name string) (uint64, error) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		rest, found := bytes.CutSuffix(lines.Bytes(), []byte(" "+name))
		if !found {
			continue
		}
		digits, _, _ := bytes.Cut(rest, []byte(" "))
		address, err := strconv.ParseUint(string(digits), 16, 64)
		if err == nil && address == 0 {
			err = errors.New("hidden (needs CAP_SYSLOG, and kernel.kptr_restrict below 2)")
		}
		if err != nil {
			return 0, fmt.Errorf("address of %s in /proc/kallsyms: %w", name, err)
		}
		return address, nil
	}
	return 0, cmp.Or(lines.Err(), fmt.Errorf("/proc/kallsyms has no %s", name))
}

// readKernel reads 32 bits of the kernel's memory, by a program that runs once.
func readKernel(address uint64) (uint32, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "read_kernel", Type: ebpf.RawTracepoint, License: "Dual MIT/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.RFP),
			asm.Add.Imm(asm.R1, -8),
			asm.Mov.Imm(asm.R2, 4),
			asm.LoadImm(asm.R3, int64(address), asm.DWord),
			asm.FnProbeReadKernel.Call(),
			asm.JNE.Imm(asm.R0, 0, "unreadable"),
			asm.LoadMem(asm.R0, asm.RFP, -8, asm.Word),
			asm.Return(),
			asm.Mov.Imm32(asm.R0, -1).WithSymbol("unreadable"),
			asm.Return(),
		},
	})
	if err != nil {
		return 0, loadError(err)
	}
	defer prog.Close()
	return prog.Run(nil)
}
