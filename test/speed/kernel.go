package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// inKernel is what the host's programs took while f ran: of the time in which
// its CPUs were busy, and for each run of a program on the tracepoint.
type inKernel struct {
	busy, taken time.Duration
	runs        uint64
}

func (k inKernel) String() string {
	return fmt.Sprintf("%.1f %% (%.0f ns)", 100*k.taken.Seconds()/k.busy.Seconds(), float64(k.taken)/float64(max(k.runs, 1)))
}

// measureKernel has the kernel measure programs while f runs, which makes each
// run longer.
func measureKernel(f func() error) (k inKernel, err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return k, err
	}
	defer stats.Close()
	before, err := kernelNow()
	if err == nil {
		err = f()
	}
	if err != nil {
		return k, err
	}
	after, err := kernelNow()
	return inKernel{after.busy - before.busy, after.taken - before.taken, after.runs - before.runs}, err
}

func kernelNow() (k inKernel, err error) {
	if k.busy, err = busy(); err != nil {
		return k, err
	}
	err = eachProgram(func(p *ebpf.Program, name string) error {
		s, err := p.Stats()
		if err != nil {
			return err
		}
		k.taken += s.Runtime
		if name == "sys_exit" {
			k.runs += s.RunCount
		}
		return nil
	})
	return k, err
}

// busy is the time that the CPUs have worked since the start of the machine.
func busy() (sum time.Duration, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system, idle, wait, irq, soft int64
	if _, err := fmt.Sscanf(string(stat), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft); err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return time.Duration(user+nice+system+irq+soft) * 10 * time.Millisecond, nil
}

// eachProgram looks at every program of the host.
func eachProgram(look func(p *ebpf.Program, name string) error) error {
	for id := ebpf.ProgramID(0); ; {
		var err error
		if id, err = ebpf.ProgramGetNextID(id); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone meanwhile
		}
		info, err := p.Info()
		if err == nil {
			err = look(p, strings.TrimSpace(info.Name))
		}
		p.Close()
		if err != nil {
			return err
		}
	}
}
