package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// kind is something that can go wrong, and ends.
type kind struct {
	name  string
	begin func(w *world, s *sensor) error
	end   func(w *world, s *sensor) error // nil if there is nothing to end
}

var kinds = []kind{
	{"the HTTP receiver is down", func(w *world, _ *sensor) error { return w.http.die() },
		func(w *world, _ *sensor) error { return w.http.comeBack() }},
	{"the HTTP receiver hangs", func(w *world, _ *sensor) error { w.http.setHang(true); return nil },
		func(w *world, _ *sensor) error { w.http.setHang(false); return nil }},
	{"standard output is not read", func(_ *world, s *sensor) error { s.pause.Lock(); return nil },
		func(_ *world, s *sensor) error { s.pause.Unlock(); return nil }},
	{"the disk is full", fillDisk, emptyDisk},
	{"the program dies", killProgram, nil},
	{"good rules", reloads("rules.yaml", rules+"# changed\n"), reloads("rules.yaml", rules)},
	{"broken rules", reloads("rules.yaml", "- rule: [\n"), reloads("rules.yaml", rules)},
	{"rules with an unknown field", reloads("rules.yaml", rules+"- rule: X\n  desc: d\n  condition: evt.tipe=open\n  output: o\n  priority: INFO\n"), reloads("rules.yaml", rules)},
	{"rules that are gone", func(w *world, s *sensor) error {
		return errors.Join(os.Remove(w.file("rules.yaml")), s.signal(syscall.SIGHUP))
	}, reloads("rules.yaml", rules)},
	{"another configuration", func(w *world, s *sensor) error {
		w.config = settings{json: !w.config.json, capacity: 12288 - w.config.capacity, path: "/other"}
		return errors.Join(w.configure(), s.signal(syscall.SIGHUP))
	}, nil},
	{"a bad configuration", reloads("config.yaml", "json_output: perhaps\n"),
		func(w *world, s *sensor) error { return errors.Join(w.configure(), s.signal(syscall.SIGHUP)) }},
	{"reloads on reloads", func(w *world, s *sensor) error {
		var errs []error
		for range 20 {
			errs = append(errs, s.signal(syscall.SIGHUP))
		}
		return errors.Join(errs...)
	}, nil},
	{"a storm of processes", func(*world, *sensor) error { return storm(300) }, nil},
	{"containers come and go", churn, nil},
	{"the container runtime is down", func(w *world, s *sensor) error { return errors.Join(w.runtime.die(), churn(w, s)) },
		func(w *world, _ *sensor) error { return w.runtime.comeBack() }},
	{"the container runtime hangs", func(w *world, s *sensor) error { w.runtime.setHang(true); return churn(w, s) },
		func(w *world, _ *sensor) error { w.runtime.setHang(false); return nil }},
	{"SIGSTOP", func(_ *world, s *sensor) error { s.halted.Store(true); return s.signal(syscall.SIGSTOP) },
		func(_ *world, s *sensor) error { err := s.signal(syscall.SIGCONT); s.halted.Store(false); return err }},
	{"little memory", squeeze, release},
}

// fault is one kind at a time.
type fault struct {
	kind  *kind
	at    time.Duration // since the beginning
	lasts time.Duration
}

// schedule fills length with faults, one after the other.
func schedule(r *rand.Rand, length time.Duration) (faults []fault) {
	for at := time.Duration(0); ; {
		f := fault{kind: &kinds[r.IntN(len(kinds))], at: at, lasts: 200*time.Millisecond + time.Duration(r.Int64N(int64(2*time.Second)))}
		at += f.lasts + time.Duration(r.Int64N(int64(time.Second)))
		if at > length {
			return faults
		}
		faults = append(faults, f)
	}
}

// inject begins the fault and ends it, also when the run does.
func (f *fault) inject(ctx context.Context, w *world, s *sensor) error {
	err := f.kind.begin(w, s)
	if err == nil {
		err = wait.For(ctx, f.lasts)
	}
	if f.kind.end != nil {
		err = errors.Join(err, f.kind.end(w, s))
	}
	err = errors.Join(err, w.rotate())
	if err != nil {
		return fmt.Errorf("%s: %w", f.kind.name, err)
	}
	return nil
}

// reloads replaces a watched file, and requests a reload besides.
func reloads(name, text string) func(*world, *sensor) error {
	return func(w *world, s *sensor) error { return errors.Join(w.write(name, text), s.signal(syscall.SIGHUP)) }
}

func churn(w *world, s *sensor) error { return w.containers.run(s, 20) }

func fillDisk(w *world, _ *sensor) error {
	err := os.WriteFile(w.file("disk/filler"), make([]byte, 2*smallDisk), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk is not full: %w", err)
	}
	return nil
}

func emptyDisk(w *world, _ *sensor) error {
	return os.Remove(w.file("disk/filler"))
}

// killProgram ends the children of the sensor, which are the program channel's.
func killProgram(_ *world, s *sensor) error {
	pids, err := procfs.Host.PIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if stat, err := procfs.Host.Stat(pid); err == nil && int(stat.PPID) == s.pid() && !stat.Ended() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
		}
	}
	return nil
}

// squeeze leaves the sensor little more memory than it has now.
func squeeze(_ *world, s *sensor) error {
	stat, err := procfs.Host.Stat(s.pid())
	if err != nil {
		return err
	}
	tree, dir, err := memoryCgroup(s)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	file := "memory.max"
	if tree.Version == 1 {
		file = "memory.limit_in_bytes"
	}
	limit := fmt.Sprint(stat.RSS + 32<<20)
	return errors.Join(cgroup.Move(dir, s.pid()), cgroup.Write(filepath.Join(dir, file), limit))
}

func release(_ *world, s *sensor) error {
	_, dir, err := memoryCgroup(s)
	if err != nil {
		return err
	}
	return cgroup.Remove(dir) // the sensor goes to its parent
}

// memoryCgroup is a cgroup for the sensor below that of this process.
func memoryCgroup(s *sensor) (cgroup.Tree, string, error) {
	own, err := procfs.Host.Cgroups(0)
	if err != nil {
		return cgroup.Tree{}, "", err
	}
	trees, err := cgroup.Trees("")
	if err != nil {
		return cgroup.Tree{}, "", err
	}
	for _, tree := range trees {
		if _, dir, err := tree.Find(own); err == nil && tree.Has("memory") {
			return tree, filepath.Join(dir, fmt.Sprintf("peregrine-soak-%d", s.pid())), nil
		}
	}
	return cgroup.Tree{}, "", errors.New("no cgroup tree with the memory controller")
}
