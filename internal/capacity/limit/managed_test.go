package limit

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// systemd is a fake systemctl and busctl.
type systemd struct {
	calls      []string
	properties map[string]string
	onCall     func(line string)
}

func (s *systemd) run(_ context.Context, name string, args ...string) (string, error) {
	line := name + " " + strings.Join(args, " ")
	if len(args) > 0 && args[0] == "show" {
		var out strings.Builder
		for key, value := range s.properties {
			fmt.Fprintf(&out, "%s=%s\n", key, value)
		}
		return out.String(), nil
	}
	s.calls = append(s.calls, line)
	if s.onCall != nil {
		s.onCall(line)
	}
	return "", nil
}

func TestUnit(t *testing.T) {
	host, ctx := unified(t), context.Background()
	manager := &systemd{properties: map[string]string{
		"LoadState": "loaded", "ActiveState": "active", "MainPID": fmt.Sprint(os.Getpid()),
		"CPUQuotaPerSecUSec": "1s 500ms", "MemoryMax": "infinity",
	}}
	host.Run = manager.run
	place, pid, err := ForUnit(ctx, host, newJournal(t, host), "falco.service")
	check(t, err)
	if pid != os.Getpid() {
		t.Errorf("main process %d, want %d", pid, os.Getpid())
	}
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 512 << 20}))
	check(t, place.Apply(ctx, capacity.Limit{CPU: 1, Memory: 512 << 20}))
	if usage, err := place.Usage(); err != nil || usage.ThrottledPeriods != 7 {
		t.Errorf("usage %+v, %v", usage, err)
	}
	check(t, place.Restore(ctx))
	want := []string{
		"systemctl set-property --runtime falco.service CPUQuota=50% MemoryMax=536870912",
		"systemctl set-property --runtime falco.service CPUQuota=100% MemoryMax=536870912",
		"systemctl set-property --runtime falco.service CPUQuota=150% MemoryMax=infinity",
	}
	if diff := cmp.Diff(want, manager.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestUnitErrors(t *testing.T) {
	for name, properties := range map[string]map[string]string{
		"does not know a unit": {"LoadState": "not-found"},
		"expected it to be":    {"LoadState": "loaded", "ActiveState": "inactive"},
		"no main process":      {"LoadState": "loaded", "ActiveState": "active", "MainPID": "0"},
	} {
		host := unified(t)
		host.Run = (&systemd{properties: properties}).run
		_, _, err := ForUnit(context.Background(), host, newJournal(t, host), "x.service")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("properties %v: %v, want %q", properties, err, name)
		}
	}
}

func TestScope(t *testing.T) {
	host, ctx := unified(t), context.Background()
	check(t, os.MkdirAll(host.path("run/systemd/system"), 0o755))
	pid := os.Getpid()
	name := fmt.Sprintf("peregrine-capacity-%d.scope", pid)
	manager := &systemd{properties: map[string]string{"LoadState": "loaded", "ActiveState": "active"}}
	manager.onCall = func(line string) {
		if strings.HasPrefix(line, "busctl") { // systemd moves the process
			path := host.path(fmt.Sprintf("proc/%d/cgroup", pid))
			check(t, os.WriteFile(path, []byte("0::/system.slice/"+name+"\n"), 0o644))
		}
	}
	host.Run = manager.run
	place, err := New(host, newJournal(t, host))
	check(t, err)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 1 << 20}))
	check(t, place.Add(ctx, pid))
	check(t, place.Apply(ctx, capacity.Limit{CPU: 2}))
	check(t, place.Restore(ctx))
	want := []string{
		"busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit ssa(sv)a(sa(sv)) " +
			name + " fail 5 PIDs au 1 " + fmt.Sprint(pid) + " CPUWeight t 10000 CPUQuotaPerSecUSec t 500000 MemoryMax t 1048576 MemorySwapMax t 0 0",
		"systemctl set-property --runtime " + name + " CPUQuota=200% MemoryMax=infinity",
		"systemctl stop " + name,
	}
	if diff := cmp.Diff(want, manager.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestTimespan(t *testing.T) {
	for text, want := range map[string]float64{"500ms": 0.5, "1s 500ms": 1.5, "2min": 120, "250us": 0.00025} {
		if got, err := parseTimespan(text); err != nil || got.Seconds() != want {
			t.Errorf("parseTimespan(%q) = %v, %v; want %v s", text, got, err, want)
		}
	}
	if got, err := parseTimespan("a while"); err == nil {
		t.Errorf("parseTimespan(a while) = %v", got)
	}
}

// daemon is a fake Docker daemon with one container, that takes an update as
// the real one does: zero changes nothing, and NanoCpus and CpuQuota exclude
// each other.
type daemon struct {
	settings dockerSettings
	pid      int
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, message string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /containers/falco/json", "GET /containers/0123/json":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"Id": "0123", "State": map[string]any{"Running": true, "Pid": d.pid}, "HostConfig": d.settings})
	case "POST /containers/0123/update":
		var u dockerSettings
		if err := json.NewDecoder(r.Body).Decode(&u); err != nil {
			refuse(400, err.Error())
			return
		}
		if u.CPUQuota != 0 && d.settings.NanoCPUs != 0 {
			refuse(409, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
			return
		}
		for _, f := range []struct{ to, from *int64 }{{&d.settings.NanoCPUs, &u.NanoCPUs}, {&d.settings.CPUPeriod, &u.CPUPeriod},
			{&d.settings.CPUQuota, &u.CPUQuota}, {&d.settings.Memory, &u.Memory}, {&d.settings.MemorySwap, &u.MemorySwap}} {
			if *f.from != 0 {
				*f.to = *f.from
			}
		}
		fmt.Fprint(w, `{"Warnings":null}`)
	default:
		refuse(404, "No such container: "+r.URL.Path)
	}
}

func serveDocker(t *testing.T, d *daemon) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	check(t, err)
	server := &http.Server{Handler: d}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return socket
}

func TestDocker(t *testing.T) {
	for name, test := range map[string]struct{ before, limited, restored dockerSettings }{
		"unlimited": {
			limited:  dockerSettings{CPUPeriod: 100000, CPUQuota: 50000, Memory: 1 << 20, MemorySwap: 1 << 20},
			restored: dockerSettings{CPUPeriod: 100000, CPUQuota: -1, Memory: -1, MemorySwap: -1},
		},
		"cpus": {
			before:   dockerSettings{NanoCPUs: 2e9, Memory: 4 << 20, MemorySwap: 8 << 20},
			limited:  dockerSettings{NanoCPUs: 5e8, Memory: 1 << 20, MemorySwap: 1 << 20},
			restored: dockerSettings{NanoCPUs: 2e9, Memory: 4 << 20, MemorySwap: 8 << 20},
		},
		"quota": {
			before:   dockerSettings{CPUPeriod: 50000, CPUQuota: 25000},
			limited:  dockerSettings{CPUPeriod: 100000, CPUQuota: 50000, Memory: 1 << 20, MemorySwap: 1 << 20},
			restored: dockerSettings{CPUPeriod: 50000, CPUQuota: 25000, Memory: -1, MemorySwap: -1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, ctx := unified(t), context.Background()
			d := &daemon{settings: test.before, pid: os.Getpid()}
			place, pid, err := ForContainer(ctx, host, newJournal(t, host), serveDocker(t, d), "falco")
			check(t, err)
			if pid != os.Getpid() {
				t.Errorf("first process %d, want %d", pid, os.Getpid())
			}
			check(t, place.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 1 << 20}))
			if diff := cmp.Diff(test.limited, d.settings); diff != "" {
				t.Errorf("limited (-want +got):\n%s", diff)
			}
			check(t, place.Restore(ctx))
			if diff := cmp.Diff(test.restored, d.settings); diff != "" {
				t.Errorf("restored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDockerErrors(t *testing.T) {
	host := unified(t)
	_, _, err := ForContainer(context.Background(), host, newJournal(t, host), serveDocker(t, &daemon{}), "other")
	if err == nil || !strings.Contains(err.Error(), "No such container") {
		t.Errorf("unknown container: %v", err)
	}
	_, _, err = ForContainer(context.Background(), host, newJournal(t, host), "/nowhere/docker.sock", "other")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/docker.sock") {
		t.Errorf("no daemon: %v", err)
	}
}
