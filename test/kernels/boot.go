package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// boot runs a kernel until init powers it off, and reads its console. The image
// has the jobs of one machine, of which j is the first.
func boot(ctx context.Context, o options, vmlinuz, image string, j job) (*result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done within %v", o.limit))
	defer cancel()
	cpu, cpus := "max", strconv.Itoa(o.cpus)
	if strings.HasPrefix(o.accel, "tcg") {
		cpu += o.arch.emulated
	}
	var extra []string
	if j.alone { // a nanosecond is an instruction, and time passes at once while the CPU is idle
		cpus, extra = "1", []string{"-icount", "shift=0,sleep=off"}
	}
	cmd := exec.CommandContext(ctx, o.arch.qemu, append(extra, "-machine", o.arch.machine, "-cpu", cpu,
		"-accel", o.accel, "-smp", cpus, "-m", strconv.Itoa(o.memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", vmlinuz, "-initrd", image,
		// An oops ends the machine; kernel warnings are shown.
		"-append", "console="+o.arch.console+" loglevel=5 oops=panic panic=-1 rdinit=/init "+j.kernel)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (Debian has it in %s)", err, o.arch.pkg)
	}
	var show io.Writer = io.Discard
	if o.verbose {
		show = os.Stderr
	}
	r := &result{}
	err = r.read(bufio.NewReader(io.TeeReader(out, show)))
	if wait := cmd.Wait(); wait != nil && ctx.Err() == nil {
		err = errors.Join(err, fmt.Errorf("qemu: %w", wait))
	}
	return r, errors.Join(err, context.Cause(ctx))
}
