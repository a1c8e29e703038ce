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
	before, err := runs()
	begin, err2 := busy()
	if err = errors.Join(err, err2); err == nil {
		err = f()
	}
	if err != nil {
		return k, err
	}
	end, err := busy()
	after, err2 := runs()
	k.busy = end - begin
	for id, p := range after {
		k.taken += p.taken - before[id].taken
		if p.atSysExit {
			k.runs += p.runs - before[id].runs
		}
	}
	return k, errors.Join(err, err2)
}

// program is what the kernel says of one.
type program struct {
	atSysExit bool
	taken     time.Duration
	runs      uint64
}

// runs are those of the host's programs. Programs that were detached can still be
// among them for some time.
func runs() (map[ebpf.ProgramID]program, error) {
	all := map[ebpf.ProgramID]program{}
	return all, eachProgram(func(id ebpf.ProgramID, p *ebpf.Program, name string) error {
		s, err := p.Stats()
		if err != nil {
			return err
		}
		all[id] = program{name == "sys_exit", s.Runtime, s.RunCount}
		return nil
	})
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
func eachProgram(look func(id ebpf.ProgramID, p *ebpf.Program, name string) error) error {
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
			err = look(id, p, strings.TrimSpace(info.Name))
		}
		p.Close()
		if err != nil {
			return err
		}
	}
}
