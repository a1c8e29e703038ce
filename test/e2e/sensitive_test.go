package e2e

import (
	"os/exec"
	"testing"
)

// The first thing anybody tries.
func TestSensitiveFile(t *testing.T) {
	s := startSensor(t)
	read := func() {
		if out, err := exec.Command("cat", "/etc/shadow").CombinedOutput(); err != nil {
			t.Fatalf("cat /etc/shadow: %v\n%s", err, out)
		}
	}
	a := s.provoke("for cat /etc/shadow", read, func(a alert) bool { return a.Rule == "Read sensitive file untrusted" })
	if a.Fields["fd.name"] != "/etc/shadow" || a.Fields["proc.cmdline"] != "cat /etc/shadow" {
		t.Errorf("alert %q: fd.name %v, proc.cmdline %v", a.Output, a.Fields["fd.name"], a.Fields["proc.cmdline"])
	}
	t.Log(a.Output)
}
