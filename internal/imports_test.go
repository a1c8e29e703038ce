package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	root    = "github.com/peregrine-sec/peregrine/"
	module  = root + "internal/"
	support = root + "test/support/"
)

// forbidden lists imports that a package (and all below it) must not have,
// directly or through others, with the reason.
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
	{"sensor/engine", "k8s.io/", "the hot loop asks no runtime"},
	{"sensor/state", module + "sensor/container/", "metadata is told to the table; it asks nobody"},
	{"generator", module + "sensor", "load must not depend on what it measures"},
	{"jsontext", "github.com/", "texts are read in place by the standard library alone"},
	{"sensor/container/runtimes", "k8s.io/client-go", "the runtimes are asked without the API server"},
	{"generator/action", "k8s.io/", "actions know the cluster by an interface: client-go is large"},
	{"profile/show", "github.com/cilium/ebpf", "profiles are figures: only recording knows of the kernel"},
	{"bench", "k8s.io/client-go", "bench makes no load on clusters"},
	{"bench", module + "sensor", "ours and Falco are measured by the same code"},
	{"capacity/report", module + "capacity/sweep", "the report shows what is stored"},
	{"capacity/report", module + "capacity/diagnose", "the report shows what is stored"},
	{"capacity/sweep", module + "capacity/limit", "the sweep knows a sensor under a limit, not how it came there"},
	{"capacity", module + "sensor", "ours and Falco are measured by the same code"},
	{"sensor", module + "bench", "the sensor stands alone"},
	{"sensor", module + "capacity", "the sensor stands alone"},
	{"sensor", module + "generator", "the sensor stands alone"},
}

// ground is the floor below all others: it imports only itself.
var ground = []string{"condition", "endpoint", "human", "journal", "jsontext", "junit", "linux", "sample", "sensorstats", "wait"}

// within says whether a package is pkg or below it.
func within(name, pkg string) bool { return name == pkg || strings.HasPrefix(name, pkg+"/") }

func onGround(pkg string) bool {
	return slices.ContainsFunc(ground, func(g string) bool { return within(pkg, g) })
}

// matches says whether an import is the forbidden one: a package of this
// module with all below it, or anything that starts with a foreign path.
func matches(dep, forbidden string) bool {
	if strings.HasPrefix(forbidden, module) {
		return within(dep, forbidden)
	}
	return strings.HasPrefix(dep, forbidden)
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		deps := strings.Fields(line)
		pkg := strings.TrimPrefix(deps[0], module)
		for _, dep := range deps[1:] {
			if of, ours := strings.CutPrefix(dep, module); ours && onGround(pkg) && !onGround(of) {
				t.Errorf("%s imports %s: the ground floor imports nothing from above", pkg, dep)
			}
			if strings.HasPrefix(dep, support) {
				t.Errorf("%s imports %s: only tests need what supports tests", pkg, dep)
			}
		}
		for _, rule := range forbidden {
			if !within(pkg, rule.pkg) {
				continue
			}
			for _, dep := range deps[1:] {
				if matches(dep, rule.imports) && !within(dep, module+rule.pkg) {
					t.Errorf("%s imports %s: %s", pkg, dep, rule.why)
				}
			}
		}
	}
}
