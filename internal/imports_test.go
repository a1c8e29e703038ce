package internal

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/peregrine-sec/peregrine/internal/"

// forbidden lists what a package (and all below it) must not import, directly
// or through others, and why.
var forbidden = []struct{ pkg, imports, why string }{
	{"sensor/event", "github.com/", "the language of the kernel and the engine needs the standard library only"},
	{"sensor/event", "golang.org/", "the language of the kernel and the engine needs the standard library only"},
	{"sensor/filter", "github.com/cilium/ebpf", "conditions are pure: only the probe knows of the kernel"},
	{"sensor/rules", "github.com/cilium/ebpf", "rules are pure: only the probe knows of the kernel"},
	{"sensor/plan", "github.com/cilium/ebpf", "plans are pure: only the probe knows of the kernel"},
	{"sensor/capture", "github.com/cilium/ebpf", "captures replace the kernel"},
	{"sensor/engine", "github.com/cilium/ebpf", "the engine takes events from any source"},
	{"sensor/engine", "net/http", "the hot loop knows nothing of outputs"},
	{"sensor/engine", "google.golang.org/grpc", "the hot loop knows nothing of outputs"},
	{"sensor/engine", module + "sensor/output", "the hot loop knows nothing of outputs"},
	{"generator", module + "sensor", "load must not depend on what it measures"},
	{"bench", module + "sensor", "ours and Falco are measured by the same code"},
	{"capacity", module + "sensor", "ours and Falco are measured by the same code"},
	{"stats", module + "sensor", "readers serve any sensor's statistics"},
	{"sensor", module + "bench", "the sensor stands alone"},
	{"sensor", module + "capacity", "the sensor stands alone"},
	{"sensor", module + "generator", "the sensor stands alone"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		deps := strings.Fields(line)
		pkg := strings.TrimPrefix(deps[0], module)
		for _, rule := range forbidden {
			if pkg != rule.pkg && !strings.HasPrefix(pkg, rule.pkg+"/") {
				continue
			}
			for _, dep := range deps[1:] {
				if strings.HasPrefix(dep, rule.imports) && !strings.HasPrefix(dep, module+rule.pkg) {
					t.Errorf("%s imports %s: %s", pkg, dep, rule.why)
				}
			}
		}
	}
}
