package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// load writes text to falco.yaml in a new directory and loads it.
func load(t *testing.T, text string, overrides ...string) (*Config, error) {
	t.Helper()
	return loadFiles(t, map[string]string{"falco.yaml": text}, overrides...)
}

// loadFiles writes files and loads falco.yaml; DIR in texts is the directory,
// and places in errors start at it.
func loadFiles(t *testing.T, files map[string]string, overrides ...string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"HOST": "collector", "PORT": "2801"}
	return Load(Options{Path: filepath.Join(dir, "falco.yaml"), Overrides: overrides, Env: func(name string) string { return env[name] }})
}

func loadEnv(t *testing.T, text string, env map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "falco.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Options{Path: path, Env: func(name string) string { return env[name] }})
}

func TestEmptyFileGivesDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		got, err := load(t, text)
		if err != nil {
			t.Fatal(err)
		}
		got.Files = nil
		if diff := cmp.Diff(Default(), got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", text, diff)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(Options{Path: "/nonexistent/falco.yaml"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/falco.yaml") {
		t.Errorf("a file that was asked for and is missing: %v", err)
	}
}

// The configuration block of the published performance test, as Helm values,
// and the falco.yaml that the chart makes of it.
const (
	helmBlock = `
grpc:
  enabled: true
  threadiness: 0

  # gRPC unix socket with no authentication
  unixSocketPath: "unix:///var/run/falco/falco.sock"

  # gRPC over the network (mTLS) / required when unixSocketPath is empty
  listenPort: 5060
  privateKey: "/etc/falco/certs/server.key"
  certChain: "/etc/falco/certs/server.crt"
  rootCerts: "/etc/falco/certs/ca.crt"
grpcOutput:
  enabled: true
outputs:
  rate: "1000000000"
  maxBurst: "1000000000"
`
	falcoBlock = `
grpc:
  enabled: true
  bind_address: "unix:///var/run/falco/falco.sock"
  threadiness: 0
grpc_output:
  enabled: true
outputs:
  rate: 1000000000
  max_burst: 1000000000
syscall_buf_size_preset: 6
`
)

func TestMethodBlock(t *testing.T) {
	want := Default()
	want.Stdout.Enabled = false
	want.GRPC.Enabled = true
	want.GRPC.BindAddress = "unix:///var/run/falco/falco.sock"
	want.GRPCOutput.Enabled = true
	want.Outputs = Throttle{Rate: 1e9, MaxBurst: 1e9}
	for name, text := range map[string]string{"helm": helmBlock, "falco": falcoBlock} {
		got, err := load(t, text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, n := range got.Notes {
			if n.Severity != Note {
				t.Errorf("%s: %v", name, n)
			}
		}
		if name == "falco" {
			want.Engine.Modern.BufSizePreset = 6
		} else {
			want.Engine.Modern.BufSizePreset = 4
		}
		got.Files, got.Notes = nil, nil
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestHelmNetworkBlock(t *testing.T) {
	text := strings.Replace(helmBlock, `"unix:///var/run/falco/falco.sock"`, `""`, 1)
	got, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if got.GRPC.BindAddress != "0.0.0.0:5060" {
		t.Errorf("bind_address = %q", got.GRPC.BindAddress)
	}
}

func TestValues(t *testing.T) {
	got, err := load(t, `
stdout_output: {enabled: off}
http_output:
  enabled: yes
  url: http://${HOST}:${PORT}/$${PATH}
metrics: {enabled: true, interval: 1h30m, output_file: /tmp/m}
rules_file: /etc/one.yaml
rules:
  - disable: {rule: "*"}
  - enable: {tag: network}
append_output:
  - match: {source: syscall, tags: [a]}
    extra_output: "x=%evt.num"
    extra_fields: [proc.exepath, {who: "%user.name", where: "%proc.cwd"}]
static_fields: {site: berlin, rack: 12}
syscall_event_drops: {actions: [log, exit], threshold: "0.5"}
modern_bpf: {cpus_for_each_syscall_buffer: 4}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Stdout.Enabled = false
	want.HTTP.Enabled, want.HTTP.URL = true, "http://collector:2801/${PATH}"
	want.Metrics.Enabled, want.Metrics.Interval, want.Metrics.OutputFile = true, Interval(90*time.Minute), "/tmp/m"
	want.RulesFiles = []string{"/etc/one.yaml"}
	want.Rules = []RuleSwitch{{Disable: &RuleSelector{Rule: "*"}}, {Enable: &RuleSelector{Tag: "network"}}}
	want.AppendOutput = []AppendOutput{{
		Match: AppendMatch{Source: "syscall", Tags: []string{"a"}}, ExtraOutput: "x=%evt.num",
		ExtraFields: []ExtraField{{Name: "proc.exepath"}, {Name: "who", Format: "%user.name"}, {Name: "where", Format: "%proc.cwd"}},
	}}
	want.StaticFields = map[string]string{"site": "berlin", "rack": "12"}
	want.Drops.Actions, want.Drops.Threshold = []string{"log", "exit"}, 0.5
	want.Engine.Modern.CPUsForEachBuffer = 4
	got.Files, got.Notes = nil, nil
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"type", "json_output: maybe", `falco.yaml:1:14: json_output: expected true or false, found a value "maybe"`},
		{"nested type", "http_output:\n  enabled: [1]", `falco.yaml:2:12: http_output.enabled: expected true or false, found a list`},
		{"list for map", "outputs: [1, 2]", `falco.yaml:1:10: outputs: expected keys and values, found a list`},
		{"map for list", "rules: {a: b}", `falco.yaml:1:8: rules: expected a list, found a map`},
		{"number", "output_timeout: soon", `falco.yaml:1:17: output_timeout: expected a whole number, found a value "soon"`},
		{"not a number", "outputs: {rate: .nan}", `expected a number`},
		{"range", "engine: {modern_ebpf: {buf_size_preset: 11}}", `falco.yaml:1:41: engine.modern_ebpf.buf_size_preset: 11 is too large: expected at most 10`},
		{"enum", "rule_matching: al", `falco.yaml:1:16: rule_matching: Unknown rule matching strategy: "al": expected one of first, all, did you mean all?`},
		{"threshold", "syscall_event_drops: {threshold: -1}", `threshold must be a double in the range [0, 1]: -1 is too small`},
		{"enum in list", "syscall_event_drops: {actions: [shout]}", `syscall_event_drops.actions[0]: "shout": expected one of`},
		{"ignore with others", "syscall_event_drops:\n  actions: [ignore, log]", `falco.yaml:2:12: syscall_event_drops.actions: ignore excludes the other actions`},
		{"interval unit", "metrics: {interval: 500}", `without Prometheus time unit`},
		{"interval short", "metrics: {interval: 50ms}", `must have a minimum value of 100ms`},
		{"interval text", "metrics: {interval: often}", `"often" is not a duration`},
		{"no sink", "metrics: {enabled: true, output_rule: false}", `metrics have nowhere to go`},
		{"twice", "priority: debug\npriority: info", `falco.yaml:2:1: priority: given twice, before in line 1`},
		{"not a map", "- a\n- b", `falco.yaml:1:1: expected keys and values at the top, found a list`},
		{"syntax", "a: [1,", `falco.yaml:1:6: `},
		{"a tab", "a: 1\n\tb: 2", `falco.yaml:2:1: found a tab character`},
		{"enum cut short", "engine: {kind: modern}", `"modern": expected one of modern_ebpf, kmod, ebpf, replay, nodriver, did you mean modern_ebpf?`},
		{"a mistyped key beside it", "json_outptu: true\noutput_timeout: soon", "json_outptu: unknown key, ignored, did you mean json_output?"},
		{"both rules keys", "rules_file: [a]\nrules_files: [b]", `falco.yaml:1:1: rules_file: given beside rules_files`},
		{"grpc address", "grpc: {enabled: true, bind_address: somewhere}", `expected unix:///PATH or ADDRESS:PORT, found "somewhere"`},
		{"grpc relative socket", "grpc: {enabled: true, bind_address: 'unix:x.sock'}", `absolute path`},
		{"grpc without tls", "grpc: {enabled: true, bind_address: '0.0.0.0:5060', root_certs: ''}", `grpc.root_certs: expected a file: 0.0.0.0:5060 is served with mutual TLS only`},
		{"grpc_output alone", "grpc_output: {enabled: true}", `needs grpc.enabled: true too`},
		{"url", "http_output: {enabled: true, url: 'ftp://x'}", `expected http://HOST`},
		{"listen address", "webserver: {listen_address: localhost}", `expected an IP address, found "localhost"`},
		{"api_server", "peregrine: {kubernetes: {api_server: 10.0.0.1:6443}}", "falco.yaml:1:38: peregrine.kubernetes.api_server: expected https://"},
		{"include", "config_files: [DIR/falco.yaml]", `includes itself`},
		{"include entry", "config_files: [{strategy: append}]", `path is missing`},
		{"rule switch", "rules: [{enable: {rule: a}, disable: {rule: b}}]", `rules[0]: expected either enable or disable`},
		{"replay", "engine: {kind: replay}", `kind replay needs the path`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant   ...%s", err, tt.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := load(t, "json_output: x\nlog_stderr: why\nrule_matching: z\nplugins: []\n")
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three lines, got %v", err)
	}
}

func TestNotes(t *testing.T) {
	tests := []struct {
		name, text string
		severity   Severity
		want       string
	}{
		{"letter", "json_outpt: true", Warning, "falco.yaml:1:1: json_outpt: unknown key, ignored, did you mean json_output?"},
		{"nested", "http_output: {ulr: x}", Warning, "http_output.ulr: unknown key, ignored, did you mean url?"},
		{"misplaced", "bind_address: x", Warning, "bind_address: unknown key, ignored, did you mean grpc.bind_address?"},
		{"far", "zzzzzzzz: 1", Warning, "zzzzzzzz: unknown key, ignored"},
		{"inert", "plugins_hostinfo: true", Note, "plugins_hostinfo: there are no plugins here; ignored"},
		{"plugin", "plugins: [{name: dummy}]", Note, "plugins[0]: plugin \"dummy\" is not used here; ignored"},
		{"plugin's key", "plugins: [{name: container, init_config: {engines: {dcoker: {enabled: true}}}}]", Warning, "engines.dcoker: unknown key, ignored, did you mean docker?"},
		{"inert of old", "outputs_queue: {recovery: 1}", Note, "outputs_queue.recovery: a full queue drops and counts alerts; ignored"},
		{"inert below", "webserver: {k8s_audit_endpoint: /k8s-audit}", Note, "audit events have a separate server, see open_params of the plugin k8saudit; ignored"},
		{"old name", "syscall_buf_size_preset: 3", Note, "read as engine.modern_ebpf.buf_size_preset"},
		{"env", "priority: ${NOT_SET}debug", Warning, "falco.yaml:1:11: environment variable NOT_SET is empty or not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Notes) != 1 || c.Notes[0].Severity != tt.severity || !strings.HasSuffix(c.Notes[0].String(), tt.want) {
				t.Errorf("notes %v\nwant one %v: ...%s", c.Notes, tt.severity, tt.want)
			}
		})
	}
}

func TestChannelDefault(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                true,
		"syslog_output: {enabled: true}":  false,
		"file_output: {enabled: false}":   true,
		"stdout_output: {enabled: false}": false,
		"stdout_output: {enabled: true}\nsyslog_output: {enabled: true}": true,
	} {
		c, err := load(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Stdout.Enabled != want {
			t.Errorf("%q: stdout %v, want %v", text, c.Stdout.Enabled, want)
		}
	}
}

func TestAnchors(t *testing.T) {
	c, err := load(t, `
x-tls: &tls {ca_cert: /a, mtls: true}
http_output:
  <<: *tls
  mtls: false
  client_cert: &cert /b
grpc: {cert_chain: *cert}
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP.CACert != "/a" || c.HTTP.MTLS || c.GRPC.CertChain != "/b" {
		t.Errorf("http %+v grpc %+v", c.HTTP, c.GRPC)
	}
}

// One path, or one entry, stands for a list of one.
func TestSingleConfigFile(t *testing.T) {
	extra := filepath.Join(t.TempDir(), "extra.yaml")
	if err := os.WriteFile(extra, []byte("json_output: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"config_files: " + extra, "config_files: [" + extra + "]", "config_files: {path: " + extra + ", strategy: append}"} {
		c, err := load(t, text)
		if err != nil || !c.JSON || len(c.ConfigFiles) != 1 || c.ConfigFiles[0].Path != extra {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"config_files:", "config_files: []"} {
		if c, err := load(t, text); err != nil || len(c.ConfigFiles) != 0 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Variables of the environment are put in as Falco does.
func TestEnvironment(t *testing.T) {
	env := map[string]string{"HOST": "collector", "PORT": "8080", "YES": "true", "EMPTY": "", "NESTED": "${HOST}"}
	for value, want := range map[string]string{
		"${HOST}": "collector", "a-${HOST}-${PORT}": "a-collector-8080", "$HOST": "$HOST", "$$HOST": "$$HOST", "$${HOST}": "${HOST}",
		"$$${HOST}": "$${HOST}", "x$${HOST}${PORT}": "x${HOST}8080", "${HOST": "${HOST", "${NOSUCH}x": "x", "${NESTED}": "${HOST}", "${}": "", "'${HOST}'": "collector",
	} {
		c, err := loadEnv(t, "file_output: {filename: \""+strings.Trim(value, "'")+"\"}\n", env)
		if err != nil || c.File.Filename != want {
			t.Errorf("%s: %q, want %q (%v)", value, c.File.Filename, want, err)
		}
	}
	c, err := loadEnv(t, "json_output: ${YES}\nwebserver:\n  enabled: ${EMPTY}\n  listen_port: ${PORT}\n  k8s_healthz_endpoint: ${EMPTY}/x\noutput_timeout: ${NOSUCH}\n", env)
	if err != nil || !c.JSON || c.Webserver.Enabled != Default().Webserver.Enabled || c.Webserver.ListenPort != 8080 || c.OutputTimeout != Default().OutputTimeout {
		t.Errorf("%v: %+v", err, c.Webserver)
	}
}

// Every number has bounds: a value that the decoder accepts can be used.
func TestNumbersAreBounded(t *testing.T) {
	var walk func(reflect.Type, string)
	walk = func(v reflect.Type, path string) {
		for v.Kind() == reflect.Slice || v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			name := f.Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			switch f.Type.Kind() {
			case reflect.Int, reflect.Float64:
				least, errLeast := strconv.ParseFloat(f.Tag.Get("min"), 64)
				most, errMost := strconv.ParseFloat(f.Tag.Get("max"), 64)
				if errLeast != nil || errMost != nil || least > most {
					t.Errorf("%s: bounds %q to %q", join(path, name), f.Tag.Get("min"), f.Tag.Get("max"))
				}
			default:
				walk(f.Type, join(path, name))
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

// Aliases repeat their anchors: a small file cannot make a large configuration.
func TestAliasesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"lists": "append_output:\n- match: {tags: &t [" + strings.Repeat("x,", 1000) + "]}\n" +
			strings.Repeat("- match: {tags: *t}\n", 1000),
		"merges":    "a: &a {" + manyKeys(1000) + "}\nb:\n" + strings.Repeat("- {<<: *a}\n", 1000),
		"many keys": manyKeyLines(100_000),
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "more than 20000 values") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: v, ", i)
	}
	return b.String()
}

func manyKeyLines(n int) string { return strings.ReplaceAll(manyKeys(n), ", ", "\n") }

// A key is moved into a section; the section may be something else.
func TestRenamedIntoWrongSection(t *testing.T) {
	for _, bad := range []string{
		"syscall_buf_size_preset: 4\nengine: 5\n",
		"syscall_buf_size_preset: 4\nengine: [x]\n",
		"syscall_buf_size_preset: 4\nengine: {modern_ebpf: x}\n",
	} {
		if _, err := load(t, bad); err == nil || !strings.Contains(err.Error(), "engine") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
