package sensor

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// FuzzConfiguration makes whole configurations, tries them as --dry-run does,
// and reloads a running sensor with them. Whatever the values are: nothing
// panics, memory stays bounded, and a refused one leaves the sensor as it was.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte{})
	for _, n := range []string{"5000000000000", "9223372036854775807", "-1", "1e308", "+Inf", "0", "0x10", "4294967296"} {
		f.Add([]byte("\xffall:" + n)) // every number of the configuration at once
	}
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "falco.yaml")
		write(t, file, "")
		load := func() (*config.Config, error) {
			return config.Load(config.Options{Path: file, Overrides: harmless(dir), Env: func(string) string { return "" }})
		}
		s, log := idleSensor(t, load)
		stop := drive(t, s)
		defer stop()
		before := s.now()

		m := maker{data: data}
		text, err := yaml.Marshal(m.value(reflect.TypeFor[config.Config](), ""))
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text))
		var dry error
		var reloaded bool
		leaks.Within(t, 256<<20, func() {
			var other *sensor
			if other, dry = newSensor(Options{LoadConfig: load, Stdout: os.Stdout, Stderr: log, Getenv: func(string) string { return "" }, DryRun: true}); dry == nil {
				other.logOut.close(sayTimeout)
			}
			reloaded = s.reload(t.Context())
		})
		if dry != nil && reloaded {
			t.Errorf("refused at a start (%v), accepted by a reload:\n%s", dry, text)
		}
		if !reloaded && s.now() != before {
			t.Errorf("a refused reload changed the sensor:\n%s", text)
		}
	})
}

// harmless returns settings that override those of the fuzzer: no command, no
// path outside dir, no address.
func harmless(dir string) []string {
	return []string{
		"engine.kind=nodriver", "config_files=[]", "rules_files=[/dev/null]", "peregrine.status_socket=", "webserver.enabled=false",
		"syslog_output.enabled=false", "http_output.url=http://127.0.0.1:1/", "http_output.ca_path=" + dir,
		"http_output.ca_cert=", "http_output.ca_bundle=", "http_output.mtls=false",
		"file_output.filename=" + filepath.Join(dir, "events"), "program_output.program=cat", "metrics.output_file=",
		"grpc.bind_address=unix://" + filepath.Join(dir, "grpc"), "log_syslog=false", "stdout_output.enabled=true",
		"buffered_outputs=false", "output_timeout=100",
	}
}

// drive drives the engine of s until the returned function is called.
func drive(t *testing.T, s *sensor) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.engine.Run(ctx, s.source)
		close(done)
	}()
	return func() {
		cancel()
		<-done
		if err := s.closeOutputs(); err != nil {
			t.Log(err)
		}
	}
}

// maker makes values of the configuration's types from bytes: for each key
// whether it is present, and its value.
type maker struct {
	data []byte
	all  string // the number for every key that has one
}

func (m *maker) byte() byte {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b
}

func (m *maker) value(v reflect.Type, tag reflect.StructTag) any {
	if rest, ok := strings.CutPrefix(string(m.data), "\xffall:"); ok {
		m.all, m.data = rest, nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return m.value(v.Elem(), tag)
	case reflect.Struct:
		keys := map[string]any{}
		for i := range v.NumField() {
			name := v.Field(i).Tag.Get("yaml")
			if name == "" || name == "-" || m.all == "" && m.byte()%4 != 0 {
				continue
			}
			keys[name] = m.value(v.Field(i).Type, v.Field(i).Tag)
		}
		return keys
	case reflect.Slice:
		list := []any{}
		for range m.byte() % 4 {
			list = append(list, m.value(v.Elem(), tag))
		}
		return list
	case reflect.Map:
		return map[string]any{m.text(): m.text()}
	case reflect.Bool:
		return m.byte()%2 == 0
	case reflect.String:
		if names := strings.Split(tag.Get("oneof"), "|"); len(names) > 1 {
			return names[int(m.byte())%len(names)]
		}
		return m.text()
	}
	return m.number(tag)
}

// number is mostly one that the key's bounds allow, its ends above all.
func (m *maker) number(tag reflect.StructTag) any {
	if m.all != "" {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: m.all}
	}
	switch m.byte() % 4 {
	case 0:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: tag.Get("min")}
	case 1:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: tag.Get("max")}
	}
	var raw [8]byte
	kind := m.byte() % 4
	for i := range raw {
		raw[i] = m.byte()
	}
	n := int64(binary.LittleEndian.Uint64(raw[:]))
	switch kind {
	case 0:
		return n
	case 1:
		return n % 100_000
	case 2:
		return float64(n) / 1e6
	}
	return strconv.Itoa(int(raw[0])) + [...]string{"ms", "s", "m", "h", "y", ""}[raw[1]%6]
}

func (m *maker) text() string {
	words := [...]string{
		"", "info", "debug", "first", "all", "rules", "alert", "log", "exit", "ignore", "open", "!open", "syscall", "x", "%evt.num", "%x",
		"append", "override", "*", "/dev/null", "1",
	}
	return words[int(m.byte())%len(words)]
}
