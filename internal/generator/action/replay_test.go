package action

import (
	"bytes"
	"debug/elf"
	"errors"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Every replayed syscall succeeds where it is to, again and again, fails quietly
// where it is to, and leaves no descriptor, process or mapping behind.
func TestReplays(t *testing.T) {
	for _, name := range replayable() {
		for _, failed := range []bool{false, true} {
			t.Run(Replayed(name, failed), func(t *testing.T) {
				before := len(descriptors(t))
				a, ok := Lookup(Replayed(name, failed))
				if !ok {
					t.Fatal("not found")
				}
				r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
				if err != nil {
					t.Fatal(err)
				}
				ready := len(descriptors(t))
				for range 3 {
					if err := r.Run(); err != nil {
						t.Fatal(err)
					}
				}
				if after := len(descriptors(t)); after != ready {
					t.Errorf("%d descriptors after three runs, %d before", after, ready)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if after := len(descriptors(t)); after != before {
					t.Errorf("%d descriptors in the end, %d before", after, before)
				}
				if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
					t.Errorf("a child is left: %v", err)
				}
			})
		}
	}
}

// The zeros that replayed calls read stay zero, though some calls have the
// kernel write a new offset or the remaining time, which could make a sleep
// last for an hour.
func TestReplaysReadZeros(t *testing.T) {
	device, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(device)
	zeros, _ := fromMemory(nil)
	if _, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(device), zeros, 64); errno != unix.EFAULT {
		t.Errorf("the kernel writes to what replayed calls read: %v, want %v", errno, unix.EFAULT)
	}
}

// A thread that a replay starts gets no signal of a child that ends meanwhile.
func TestThreadsAndChildren(t *testing.T) {
	var made []*Runnable
	for i, name := range []string{Thread, "clone", "execve"} {
		a, _ := Lookup(Replayed(name, false))
		r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w"+strconv.Itoa(i)), Prefix: "x"})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, r)
	}
	var children sync.WaitGroup
	for _, child := range made[1:] {
		children.Go(func() {
			for range 200 {
				if err := child.Run(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5000 {
		if err := made[0].Run(); err != nil {
			t.Fatal(err)
		}
	}
	children.Wait()
	for _, r := range made {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A replayed umask does not change the mode of the worker's other files.
func TestReplayedUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o027))
	a, _ := Lookup(Replayed("umask", false))
	r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Run(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if got := unix.Umask(0o027); got != 0o027 {
		t.Errorf("umask %#o, was 027", got)
	}
}

// No replayed wait takes a child from whom it belongs to.
func TestReplayedWaits(t *testing.T) {
	child := exec.Command("/bin/true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wait4", "waitid"} {
		for _, failed := range []bool{false, true} {
			a, _ := Lookup(Replayed(name, failed))
			r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(r.Run(), r.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err != nil {
		t.Errorf("a replay has waited for it: %v", err)
	}
}

// A failing call is one that fails: with arguments of its own, or without a
// descriptor. Those listed cannot fail, or fail in any case.
func TestReplaysFail(t *testing.T) {
	cannot := map[string]bool{}
	for _, name := range []string{"umask", "brk", "sched_yield", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "times", "getpgrp", "set_tid_address", Thread} {
		cannot[name] = true
	}
	for _, name := range replayable() {
		call, _ := replayCall(name)
		if cannot[name] == (call.fails != nil) {
			t.Errorf("%s: has a way to fail: %v, can fail: %v", name, call.fails != nil, !cannot[name])
			continue
		}
		if cannot[name] {
			continue
		}
		p := &prep{Env: Env{Scratch: filepath.Join(t.TempDir(), "w0")}, runnable: &Runnable{Action: &Action{Name: "replay.x"}}}
		var args [6]uintptr
		for i, w := range call.fails {
			var err error
			if args[i], err = w(p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if r, _, errno := unix.RawSyscall6(call.nr, args[0], args[1], args[2], args[3], args[4], args[5]); errno == 0 {
			t.Errorf("%s succeeds: %d", name, r)
		}
		if err := p.runnable.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An unknown syscall is replayed as one that does nothing.
func TestReplaysUnknown(t *testing.T) {
	if _, known, makes := Besides("made_up"); known || !makes {
		t.Error("known")
	}
	if _, known, makes := Besides("exit_group"); !known || makes {
		t.Error("a process ends without having started")
	}
	if a, ok := Lookup("replay.made_up"); !ok || a.Syscalls != 1 {
		t.Errorf("%+v", a)
	}
	if a, _ := Lookup("replay.execve"); a.Cost != Process || a.Syscalls != 4 {
		t.Errorf("%+v", a)
	}
}

// The smallest program is one that tools can read, on both architectures.
func TestSmallestProgram(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.NewFile(bytes.NewReader(smallestProgram(arch)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Entry != f.Progs[0].Vaddr+120 {
			t.Errorf("%+v", f.FileHeader)
		}
	}
}

// replayable are the syscalls that are made as they are.
func replayable() []string {
	var all []string
	for _, table := range []map[string]replay{fileReplays, networkReplays, otherReplays, processReplays, replaysHere} {
		all = slices.AppendSeq(all, maps.Keys(table))
	}
	slices.Sort(all)
	return all
}
