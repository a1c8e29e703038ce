package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// idleSensor is a sensor without a driver whose parts a test can look at.
func idleSensor(t *testing.T, load func() (*config.Config, error)) (*sensor, *watched) {
	t.Helper()
	log := &watched{}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	s, err := newSensor(Options{LoadConfig: load, Stdout: null, Stderr: log, Getenv: func(string) string { return "" }})
	if err == nil {
		err = s.open()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.recorder.Close(s.recorder.stop)
		s.logOut.close(sayTimeout)
	})
	return s, log
}

// refusing is a source that takes no other plan.
type refusing struct {
	source
	asked int
}

func (r *refusing) SetPlan(plans ...*plan.Plan) error {
	r.asked++
	if len(plans) > 1 {
		return errors.New("no room for another plan")
	}
	return nil
}

// A reload that fails at its last step leaves everything as it was: rules,
// outputs, and the configuration that is shown.
func TestReloadFailsLate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "one")
	s, log := idleSensor(t, func() (*config.Config, error) {
		c := config.Default()
		c.Engine.Kind, c.Stdout.Enabled = "nodriver", false
		c.File.Enabled, c.File.Filename = true, file
		return c, nil
	})
	source := &refusing{source: s.source}
	s.source = source
	before := s.now()
	file = filepath.Join(dir, "two")
	if s.reload(t.Context()) {
		t.Fatal("the reload succeeded")
	}
	if s.now() != before || s.engine.Rules() != before.rules {
		t.Error("other settings are in force")
	}
	if source.asked != 2 {
		t.Errorf("the plan was set %d times; wanted the old one to be restored", source.asked)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	one, err := os.ReadFile(filepath.Join(dir, "one"))
	if err != nil || !strings.Contains(string(one), "no room for another plan") {
		t.Errorf("the alert about the reload is not where alerts went before: %q, %v\n%s", one, err, log)
	}
	if two, _ := os.ReadFile(file); len(two) > 0 {
		t.Errorf("the new file has %q", two)
	}
}

// A reload that waits for the engine ends with the sensor.
func TestReloadEndsWithTheSensor(t *testing.T) {
	s, _ := idleSensor(t, func() (*config.Config, error) {
		c := config.Default()
		c.Engine.Kind = "nodriver"
		return c, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() { done <- s.reload(ctx) }() // nobody runs the engine
	cancel()
	if <-done {
		t.Error("the reload succeeded")
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// Reloads during every kind of query: each answer is of one configuration, and
// the race detector finds nothing.
func TestReloadWatched(t *testing.T) {
	reloads := 200
	if testing.Short() {
		reloads = 40
	}
	dir := t.TempDir()
	socket, configFile, rules := filepath.Join(dir, "s"), filepath.Join(dir, "c.yaml"), filepath.Join(dir, "rules.yaml")
	port := freePort(t)
	settle := func(i int) {
		write(t, configFile, fmt.Sprintf(`
watch_config_files: false
engine: {kind: nodriver}
rules_files: [%s]
stdout_output: {enabled: false}
file_output: {enabled: true, keep_alive: %t, filename: %s}
outputs: {rate: %d}
syscall_event_drops: {rate: %d}
metrics: {enabled: true, interval: 100ms, output_rule: true}
webserver: {enabled: true, listen_port: %d, prometheus_metrics_enabled: true}
peregrine: {status_socket: %s}
`, rules, i%2 == 0, filepath.Join(dir, fmt.Sprint("events", i%3)), i%2, i%2, port, socket))
		write(t, rules, fmt.Sprintf("- rule: R%d\n  desc: d\n  condition: evt.type=open\n  output: o\n  priority: INFO\n", i))
	}
	settle(0)
	s := startWith(t, func() (*config.Config, error) { return config.Load(config.Options{Path: configFile}) })
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if err := live.Status(ctx, io.Discard, live.Options{Socket: socket, Interval: time.Millisecond}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	watching.Go(func() {
		_ = live.Top(ctx, io.Discard, live.Options{Socket: socket, Interval: time.Millisecond, Rows: 5})
	})
	watching.Go(func() {
		for ctx.Err() == nil {
			scrape(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		}
	})
	for i := range reloads {
		settle(i)
		done := s.stderr.saw(fmt.Sprintf("reloaded reload=%d ", i+1))
		s.hangup <- syscall.SIGHUP
		select {
		case <-done:
		case <-time.After(needs.Patience):
			t.Fatalf("reload %d never ends\n%s", i, s.stderr)
		}
	}
	cancel()
	watching.Wait()
	s.stop()
}

// Files that do not change are looked at once, and watched once.
func TestReloadWatchesOnce(t *testing.T) {
	configFile := filepath.Join(t.TempDir(), "c.yaml")
	write(t, configFile, "watch_config_files: true\nlog_level: debug\nengine: {kind: nodriver}\nperegrine: {status_socket: ''}\n")
	files := config.NewFiles()
	s := startWithFiles(t, files, func() (*config.Config, error) { return config.Load(config.Options{Path: configFile, Files: files}) })
	for range 5 { // as long as the sensor's watch takes for its first look
		ctx, cancel := context.WithCancel(t.Context())
		if err := config.Watch(ctx, []string{configFile}, reloadDebounce, func(bool) { cancel() }); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(s.stderr.String(), "configuration files are watched"); n != 1 {
		t.Errorf("files are watched %d times:\n%s", n, s.stderr)
	}
	s.stop()
}

// A directory that takes the place of the watched one is found, though nothing
// tells of it.
func TestReloadOfSwappedDirectory(t *testing.T) {
	dir := t.TempDir()
	now, next := filepath.Join(dir, "now"), filepath.Join(dir, "next")
	configFile := filepath.Join(now, "c.yaml")
	for _, d := range []string{now, next} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(d, "c.yaml"), "# of "+d+"\nwatch_config_files: true\nengine: {kind: nodriver}\nperegrine: {status_socket: ''}\n")
	}
	files := config.NewFiles()
	s := startWithFiles(t, files, func() (*config.Config, error) { return config.Load(config.Options{Path: configFile, Files: files}) })
	reloaded := s.stderr.saw("configuration changed, restarting")
	if err := errors.Join(os.Rename(now, filepath.Join(dir, "old")), os.Rename(next, now)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reloaded:
	case <-time.After(needs.Patience):
		t.Fatalf("no reload\n%s", s.stderr)
	}
	s.stop()
}

// A refused reload watches the refused files: once corrected, they take effect.
// Writes that change nothing, and writes to devices, do not reload.
func TestReloadCorrected(t *testing.T) {
	dir := t.TempDir()
	configFile, first, second := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "first.yaml"), filepath.Join(dir, "new", "second.yaml")
	if err := os.Mkdir(filepath.Dir(second), 0o700); err != nil {
		t.Fatal(err)
	}
	rule := func(name, kind string) string {
		return fmt.Sprintf("- rule: %s\n  desc: d\n  condition: evt.type=%s\n  output: o\n  priority: INFO\n", name, kind)
	}
	settle := func(files ...string) {
		write(t, configFile, fmt.Sprintf("engine: {kind: nodriver}\nrules_files: [%s]\npriority: debug\n", strings.Join(files, ", ")))
	}
	write(t, first, rule("First", "open"))
	write(t, second, rule("Second", "opneat"))
	settle(first, "/dev/null")
	files := config.NewFiles()
	s := startWithFiles(t, files, func() (*config.Config, error) {
		return config.Load(config.Options{Path: configFile, Files: files, Overrides: []string{"peregrine.status_socket=", "json_output=true"}})
	})
	await := func(what string, seen <-chan struct{}) {
		t.Helper()
		select {
		case <-seen:
		case <-time.After(needs.Patience):
			t.Fatalf("never: %s\n%s", what, s.stderr)
		}
	}
	refused, reloaded := s.stderr.saw("stays in force"), s.stderr.saw("reloaded reload=1 ")
	settle(first, second)
	await("the new file is refused", refused)
	write(t, second, rule("Second", "openat"))
	await("the corrected file is in force", reloaded)
	for range 3 {
		write(t, second+"~", rule("Second", "openat"))
		if err := os.Rename(second+"~", second); err != nil { // nobody sees half of it
			t.Fatal(err)
		}
		write(t, "/dev/null", "x")
	}
	reloaded = s.stderr.saw("reloaded reload=2 ")
	write(t, first, rule("Third", "open"))
	await("a change is in force", reloaded)
	if n := strings.Count(s.stderr.String(), "restarting..."); n != 3 {
		t.Errorf("%d reloads, want 3\n%s", n, s.stderr)
	}
	s.stop()
}

// A pipe without a writer or an endless device, named by a new configuration,
// is refused; the sensor neither hangs nor grows.
func TestReloadHostilePaths(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	key, path := "rules_files", "/dev/null"
	load := func() (*config.Config, error) {
		return config.Load(config.Options{Path: "/dev/null", Overrides: []string{
			"engine.kind=nodriver", "peregrine.status_socket=", "http_output.url=https://127.0.0.1:1/", key + "=" + path,
		}})
	}
	s, log := idleSensor(t, load)
	defer drive(t, s)()
	for _, path = range []string{fifo, "/dev/zero", "/dev/urandom", "/proc/kallsyms"} {
		for _, key = range []string{"rules_files", "config_files"} {
			if s.reload(t.Context()) {
				t.Errorf("%s: %s is accepted\n%s", key, path, log)
			}
		}
	}
}

// A directory of rules files may become anything between two reloads, and one
// again.
func TestReloadDirectoryReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules.d")
	rules := func() error {
		return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "r.yaml"), []byte("- {rule: R, desc: d, condition: evt.type=open, output: o, priority: INFO}\n"), 0o600))
	}
	if err := rules(); err != nil {
		t.Fatal(err)
	}
	s, log := idleSensor(t, func() (*config.Config, error) {
		return config.Load(config.Options{Path: "/dev/null", Overrides: []string{"engine.kind=nodriver", "peregrine.status_socket=", "rules_files=" + dir}})
	})
	defer drive(t, s)()
	for name, put := range map[string]func() error{
		"file":          func() error { return os.WriteFile(dir, []byte("no rules"), 0o600) },
		"pipe":          func() error { return syscall.Mkfifo(dir, 0o600) },
		"dangling link": func() error { return os.Symlink("/nowhere", dir) },
		"link to self":  func() error { return os.Symlink(dir, dir) },
		"device":        func() error { return os.Symlink("/dev/zero", dir) },
		"socket": func() error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err == nil {
				err = errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: dir}), syscall.Close(fd))
			}
			return err
		},
		"pipe in it": func() error {
			return errors.Join(os.Mkdir(dir, 0o700), syscall.Mkfifo(filepath.Join(dir, "r.yaml"), 0o600))
		},
	} {
		before := s.now()
		if err := errors.Join(os.RemoveAll(dir), put()); err != nil {
			t.Fatal(err)
		}
		if s.reload(t.Context()) || s.now() != before {
			t.Errorf("%s: accepted\n%s", name, log)
		}
		if err := errors.Join(os.RemoveAll(dir), rules()); err != nil {
			t.Fatal(err)
		}
		if !s.reload(t.Context()) || len(s.now().rules.Plan.Rules) != 1 {
			t.Errorf("%s: the rules do not come back\n%s", name, log)
		}
	}
}

func scrape(ctx context.Context, t *testing.T, url string) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err == nil && r.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", url, r.Status)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(text)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A reload names the settings that need a restart.
func TestFixedSections(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		"syscall_event_drops":     func(c *config.Config) { c.Drops.Threshold = 0.5 },
		"peregrine.metadata_wait": func(c *config.Config) { c.Peregrine.MetadataWait++ },
		"peregrine.k8s_audit":     func(c *config.Config) { c.Peregrine.K8sAudit.Patience++ },
		"peregrine.status_socket": func(c *config.Config) { c.Peregrine.StatusSocket += "2" },
		"load_plugins":            func(c *config.Config) { c.LoadPlugins = append(c.LoadPlugins, "k8saudit") },
		"":                        func(c *config.Config) { c.OutputTimeout++ },
	} {
		was, now := config.Default(), config.Default()
		change(now)
		if got := strings.Join(fixedSections(was, now), " "); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}
