package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A user namespace gives all capabilities. Whoever makes one is judged by
// those of before, or the rule about it would never see it succeed.
//
// It shows a row of docs/compatibility.md.
func TestUnshareIsJudgedByItsCaller(t *testing.T) {
	requireBPF(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Dir(binary) // that nobody may enter
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
