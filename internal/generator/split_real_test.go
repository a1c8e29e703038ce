package generator

import "testing"

// In real containers, only the actions that need it get a privileged one.
func TestSplitReal(t *testing.T) {
	choices := []Choice{{Name: "syscall.ReadSensitiveFileUntrusted"}, {Name: "syscall.MountLaunchedInPrivilegedContainer"}, {Name: "syscall.PacketSocketCreatedInContainer"}}
	for _, tt := range []struct {
		name    string
		sandbox SandboxOptions
		want    []string
	}{
		{"here", SandboxOptions{Container: InHost}, []string{"host", "", "container look-alike"}},
		{"containers", SandboxOptions{Image: "i"}, []string{"real container", "real container, privileged", "real container"}},
		{"privileged ones", SandboxOptions{Image: "i", Privileged: true}, []string{"real container, privileged", "real container, privileged", "real container, privileged"}},
	} {
		plan, err := NewPlan(Options{Actions: choices, Passes: 1, Sandbox: tt.sandbox})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			got := plan.Actions[i]
			if want != "" && (got.Where != want || got.Skip != "") || want == "" && got.Skip == "" {
				t.Errorf("%s: %s in %q, skipped %q, want %q", tt.name, got.Name, got.Where, got.Skip, want)
			}
		}
	}
}
