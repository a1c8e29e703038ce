package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// A user namespace gives all capabilities. Its creator is judged by
// those of before, or the rule about it would never see it succeed.
//
// It shows a row of docs/compatibility.md.
func TestUnshareIsJudgedByItsCaller(t *testing.T) {
	requireBPF(t)
	unshare := needs.Program(t, "unshare")
	dir := filepath.Dir(binary) // which the user nobody can enter
	name := fmt.Sprintf("unshare-%d", os.Getpid())
	tool, rules := filepath.Join(dir, name), filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.Symlink(unshare, tool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(tool) })
	write(t, rules, fmt.Sprintf(`
- rule: Unshare
  desc: a user namespace by one who has no capabilities
  condition: evt.type=unshare and proc.name=%[1]s and evt.rawres=0 and not thread.cap_permitted contains CAP_SYS_ADMIN
  output: "%%evt.arg.flags"
  priority: INFO
- rule: After
  desc: what it does next
  condition: evt.type=execve and proc.name=%[1]s and thread.cap_permitted contains CAP_SYS_ADMIN
  output: "%%proc.name"
  priority: INFO
`, name))
	s := startSensor(t, "-r", rules)
	act := func() {
		cmd := exec.Command(tool, "--user", "/nonexistent")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() == 1 {
			t.Skipf("no user namespaces here: %v", err)
		}
	}
	s.provoke("of unshare", act, func(a alert) bool { return a.Rule == "Unshare" })
	s.provoke("of the failed exec after it", act, func(a alert) bool { return a.Rule == "After" })
}

// The same for a user namespace that another user has made.
//
// It shows a row of docs/compatibility.md.
func TestSetnsIsJudgedByItsCaller(t *testing.T) {
	requireBPF(t)
	needs.Programs(t, "unshare", "nsenter")
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, `
- rule: Setns
  desc: into a user namespace by one who has no capabilities
  condition: evt.type=setns and proc.name=nsenter and evt.rawres=0 and user.uid=65534 and not thread.cap_permitted contains CAP_SYS_ADMIN
  output: "%evt.args"
  priority: INFO
`)
	s := startSensor(t, "-r", rules)
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	inside := exec.Command("unshare", "--user", "sleep", "60")
	inside.SysProcAttr = nobody
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = inside.Process.Kill()
		_ = inside.Wait()
	})
	pid := inside.Process.Pid
	needs.Eventually(t, "user namespace", func() bool {
		own, err := os.Readlink("/proc/self/ns/user")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid))
		if err != nil {
			t.Skipf("no user namespaces here: %v", err)
		}
		return theirs != own
	})
	s.provoke("of setns", func() {
		cmd := exec.Command("nsenter", "--user", "--preserve-credentials", "--target", fmt.Sprint(pid), "true")
		cmd.SysProcAttr = nobody
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}, func(a alert) bool { return a.Rule == "Setns" })
}

// A child in a new user namespace counts as an unshare does, in a container
// and without capabilities.
//
// It shows a row of docs/compatibility.md.
func TestUserNamespaceByClone(t *testing.T) {
	requireBPF(t)
	needs.Programs(t, "perl")
	const rule = "Change namespace privileges via unshare"
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, fmt.Sprintf(`
- macro: container
  condition: (evt.num > 0)
- rule: %q
  condition: and proc.name = perl
  override: {condition: append}
`, rule))
	s := startSensor(t, append(defaultRules(), "-r", file)...)
	s.provoke("of clone", func() {
		cmd := exec.Command("perl", "-e", fmt.Sprintf("my $child = syscall(%d, %d, 0, 0, 0, 0); waitpid $child, 0 if $child > 0",
			unix.SYS_CLONE, unix.CLONE_NEWUSER|int(unix.SIGCHLD)))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}, func(a alert) bool { return a.Rule == rule && strings.Contains(a.Output, "evt_type=clone") })
}
