package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// prefix starts the messages of init on the console.
const prefix = "peregrine-kernels: "

func tell(what string, value any) { fmt.Printf("\n%s%s %v\n", prefix, what, value) }

// initMain is the first process of the machine. It runs the jobs and powers
// off, whatever happens.
func initMain() {
	if err := setUp(); err != nil {
		tell("error", err)
		powerOff()
	}
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	release := unix.ByteSliceToString(u.Release[:])
	tell("kernel", release)
	jobs, err := os.ReadFile("/jobs")
	if err != nil {
		tell("error", err)
		powerOff()
	}
	for line := range strings.Lines(string(jobs)) {
		words := strings.Fields(line)
		tell("job", words[0])
		tell("exit", runJob(words[1:], requireHooks(runtime.GOARCH, release)))
	}
	tell("done", "all")
	powerOff()
}

func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// setUp makes the machine look like one.
func setUp() error {
	var errs []error
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
		{"devpts", "/dev/pts"}, {"tmpfs", "/dev/shm"}, {"cgroup2", "/sys/fs/cgroup"},
		{"tracefs", "/sys/kernel/tracing"}, {"bpf", "/sys/fs/bpf"},
	} {
		if !strings.HasPrefix(m.at, "/sys/") {
			errs = append(errs, os.MkdirAll(m.at, 0o755))
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	_, err := unix.Setsid() // the session of the jobs, which are process groups in it
	errs = append(errs, err, os.Chmod("/tmp", 0o1777), loopbackUp())
	// udev does the same: tests and the runtime look there.
	errs = append(errs, os.Symlink("/proc/self/fd", "/dev/fd"))
	return errors.Join(errs...)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}

// requireHooks is 1 where the probe hooks functions: on all kernels of amd64,
// on those from 6.4 on of arm64.
func requireHooks(arch, release string) string {
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	if arch == "amd64" || arch == "arm64" && major*100+minor >= 604 {
		return "1"
	}
	return "0"
}

// runJob runs a program to its end, with the console for output, and returns
// its exit code. It reaps orphans as well, as pid 1 must.
func runJob(args []string, hooks string) string {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err.Error()
	}
	defer null.Close()
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{
		Dir: "/root", Files: []uintptr{null.Fd(), 1, 2},
		Env: []string{
			"PATH=/usr/bin:/bin", "HOME=/root", "TMPDIR=/tmp",
			"PEREGRINE_REQUIRE_BPF=1", "PEREGRINE_REQUIRE_HOOKS=" + hooks, "PEREGRINE_BINARY=/usr/bin/peregrine",
		},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Sprintf("%s: %v", args[0], err)
	}
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err.Error()
		case got == pid && status.Signaled():
			return status.Signal().String()
		case got == pid:
			return fmt.Sprint(status.ExitStatus())
		}
	}
}
