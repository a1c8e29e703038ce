package action

import (
	"bytes"
	"debug/elf"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
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

// alive counts the children of this process that have not ended.
func alive(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for pid := range strings.FieldsSeq(string(text)) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "Z") {
				n++
			}
		}
	}
	return n
}

// A program lives until its end is replayed, or the replay closes. There are never
// more than a few, and an end without one is nothing.
func TestProgramsLive(t *testing.T) {
	prepared := func(name string) *Runnable {
		a, _ := Lookup(Replayed(name, false))
		r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	start, end := prepared("execve"), prepared("exit_group")
	run := func(r *Runnable, times int) {
		for range times {
			if err := r.Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(end, 1)
	run(start, 3)
	run(end, 1)
	needs.Eventually(t, "one of three has ended", func() bool { return alive(t) == 2 })
	run(start, mostPrograms)
	needs.Eventually(t, "the oldest have ended", func() bool { return alive(t) == mostPrograms })
	run(end, mostPrograms+5)
	run(start, 1)
	if err := errors.Join(start.Close(), end.Close()); err != nil {
		t.Error(err)
	}
	if n := alive(t); n != 0 {
		t.Errorf("%d programs live on", n)
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
	for _, name := range []string{"umask", "brk", "sched_yield", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "times", "getpgrp", "set_tid_address", "exit_group", Thread, Late("accept"), Late("accept4")} {
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

// A late accept does not wait for good where packets on loopback are dropped, as
// by a firewall.
func TestReplayedLateAcceptEnds(t *testing.T) {
	a, _ := Lookup(Replayed(Late("accept4"), false))
	before := descriptors(t)
	r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
	if err != nil {
		t.Fatal(err)
	}
	const drop = 0x6 // BPF_RET | BPF_K, 0: of each packet, no byte
	for _, opened := range descriptors(t) {
		if number, is, _ := strings.Cut(opened, " "); !slices.Contains(before, opened) && strings.HasPrefix(is, "socket:") {
			fd, _ := strconv.Atoi(number)
			if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: drop}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(r.Run(), r.Close()); !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		t.Errorf("%v, want EAGAIN or EINTR", err)
	}
}

// An unknown syscall is replayed as one that does nothing.
func TestReplaysUnknown(t *testing.T) {
	if _, known, makes := Besides("made_up"); known || !makes {
		t.Error("known")
	}
	if _, known, makes := Besides("exit"); !known || makes {
		t.Error("a thread ends without having started")
	}
	if a, ok := Lookup("replay.made_up"); !ok || a.Syscalls != 1 {
		t.Errorf("%+v", a)
	}
	if a, _ := Lookup("replay.execve"); a.Cost != Process || a.Syscalls != 2 {
		t.Errorf("%+v", a)
	}
}

// The smallest program is one that tools can read, on both architectures.
func TestSmallestProgram(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.NewFile(bytes.NewReader(smallestProgram(arch, 300)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Entry != f.Progs[0].Vaddr+120 {
			t.Errorf("%+v", f.FileHeader)
		}
	}
}

// A started program lives as long as there is somebody to end it: should the
// generator be killed, the pipe's other end is closed.
func TestProgramEndsWithoutGenerator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, smallestProgram(runtime.GOARCH, 3), 0o755); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := exec.Command(path)
	program.ExtraFiles = []*os.File{r}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "it waits for the pipe", func() bool {
		at, err := os.ReadFile("/proc/" + strconv.Itoa(program.Process.Pid) + "/syscall")
		return err == nil && strings.HasPrefix(string(at), strconv.Itoa(unix.SYS_READ)+" 0x3 ")
	})
	if err := errors.Join(w.Close(), program.Wait()); err != nil {
		t.Error(err)
	}
}

// A program has been executed, though its end comes at once.
func TestProgramsRun(t *testing.T) {
	a, _ := Lookup(Replayed("execve", false))
	r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := errors.Join(r.Run(), programs.endOne()); err != nil {
			t.Fatal(err)
		}
		var stat string
		needs.Eventually(t, "it has ended", func() bool {
			text, err := os.ReadFile("/proc/" + strconv.Itoa(int(programs.killed)) + "/stat")
			stat = string(text)
			return err == nil && strings.Contains(stat, ") Z ")
		})
		if !strings.Contains(stat, "(peregrine-repla)") {
			t.Fatalf("a child has ended as %q", stat)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
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
