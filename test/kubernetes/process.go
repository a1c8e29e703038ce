package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// start starts a component on the node, with its output in name.log. It is
// noted by pid and start time, by which a later process finds the remains of a
// killed one.
func (c *Cluster) start(name, program string, args ...string) error {
	log, err := os.OpenFile(c.path(name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.OnNode(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }()                       // reaps it; how it ended is in its log
	started, _ := procfs.Host.StartTime(cmd.Process.Pid) // 0 if it has ended already
	note := fmt.Sprintf("%d %d", cmd.Process.Pid, started)
	return os.WriteFile(c.path(name+".pid"), []byte(note), 0o600)
}

// end ends a component that was started in dir: nicely, then not.
func end(dir, name string, patience time.Duration) error {
	pid := noted(dir, name)
	if pid == 0 {
		return nil
	}
	_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
	err := wait(patience, name+" to end", func() bool { return noted(dir, name) == 0 })
	if err == nil {
		return nil
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	return wait(5*time.Second, name+" to be killed", func() bool { return noted(dir, name) == 0 })
}

// noted returns the pid of the component if it still runs, or 0.
func noted(dir, name string) int {
	content, err := os.ReadFile(filepath.Join(dir, name+".pid"))
	if err != nil {
		return 0
	}
	var pid int
	var started uint64
	if _, err := fmt.Sscan(string(content), &pid, &started); err != nil || !procfs.Host.Alive(pid, started) {
		return 0
	}
	return pid
}

// wait waits until ready holds.
func wait(patience time.Duration, what string, ready func() bool) error {
	if !needs.Within(patience, ready) {
		return fmt.Errorf("waited %v for %s", patience, what)
	}
	return nil
}

// missing says why this machine cannot run a cluster, or "".
func missing() string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	for _, name := range []string{"containerd", "ctr", "runc", "ip", "nsenter"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Sprintf("%s is not installed: packages containerd, runc, iproute2, util-linux", name)
		}
	}
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		return "/usr/lib/cni/bridge is missing: install the package containernetworking-plugins"
	}
	for _, p := range programs {
		path, err := p.path()
		if err == nil {
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("%s is not compiled yet: call make kubernetes", p.name)
		}
		if err != nil {
			return err.Error()
		}
	}
	return ""
}

// killShims ends the shims of the cluster's containerd. Their command line
// names its socket, which no other has.
func killShims(dir string) error {
	socket := filepath.Join(dir, "containerd/containerd.sock")
	shims := func() (pids []int) {
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range paths {
			args, _ := os.ReadFile(path)
			if strings.Contains(string(args), "containerd-shim") && strings.Contains(string(args), socket) {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
					pids = append(pids, pid)
				}
			}
		}
		return pids
	}
	return wait(5*time.Second, "containerd's shims to end", func() bool {
		left := shims()
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(left) == 0
	})
}
