package profile

import (
	"bytes"
	"encoding"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// sample is a profile in which everything is set.
func sample() *Profile {
	p := wave(200).Profile()
	p.Source = Source{Kind: FromKernel, Started: time.Unix(1790000000, 0).UTC(), Nodes: 1, Kernel: "6.18", Arch: "amd64", CPUs: 2, Assumed: []string{"nothing"}}
	q := &Quantiles{P50: 1, P99: 2, Max: 3}
	p.Processes = &Processes{Forks: 4, Execs: 3, Threads: 2, Exits: 4, Lifetime: q, Arguments: q, ArgumentBytes: q}
	p.Paths = &Paths{Sampled: 100, Distinct: 0.5, Relative: 0.25, Depth: q, Names: []Named{{"/etc/hosts", 0.1}}}
	p.Sockets = NewSockets(map[Socket]float64{{Call: "socket", Family: "ipv4", Protocol: "stream"}: 3, {Call: "connect", Family: "ipv4", Locality: "loopback"}: 1})
	return p
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.json")
	want := sample()
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadErrors(t *testing.T) {
	edit := func(change func(*Profile)) string {
		p := sample()
		change(p)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":       {"hello", "expected the JSON of peregrine profile"},
		"other version": {`{"schema":9}`, "schema 9"},
		"unknown key":   {`{"schema":1,"colour":1}`, "colour"},
		"no time":       {edit(func(p *Profile) { p.Seconds = 0 }), "seconds 0"},
		"no node":       {edit(func(p *Profile) { p.Source.Nodes = 0 }), "source.nodes 0"},
		"negative rate": {edit(func(p *Profile) { p.Syscalls[0].Host.Rate = -1 }), "openat.host: rate -1"},
		"more than all": {edit(func(p *Profile) { p.Failed = 2 }), "failed 2"},
		"nameless":      {edit(func(p *Profile) { p.Syscalls[1].Name = "" }), "syscalls[1]: no name"},
		"twice":         {edit(func(p *Profile) { p.Syscalls[1].Name = "openat" }), "syscalls[1]: openat occurs twice"},
		"unknown group": {edit(func(p *Profile) { p.Shape.Strands[0].Group = "x" }), `group "x"`},
		"too many": {edit(func(p *Profile) {
			for i := range mostSyscalls {
				p.Syscalls = append(p.Syscalls, Syscall{Name: strconv.Itoa(i)})
			}
		}), "syscalls: expected at most 1000"},
		"no rate":    {edit(func(p *Profile) { p.Rate = 0 }), "rate 0: expected the sum of the syscalls' rates, "},
		"other rate": {edit(func(p *Profile) { p.Rate *= 2 }), "expected the sum"},
		"years":      {edit(func(p *Profile) { p.Shape.Strands[0].Counts = make([]uint32, mostWindows+1) }), "windows: expected at most"},
		"clumps twice": {edit(func(p *Profile) {
			p.Shape.Clumps = []Clumps{{true, &Exact{Windows: 1}}, {true, &Exact{Windows: 1}}}
		}), "one of the host"},
		"no clumps":      {edit(func(p *Profile) { p.Shape.Clumps = []Clumps{{}} }), "expected milliseconds"},
		"later clumps":   {edit(func(p *Profile) { p.Shape.Clumps = []Clumps{{true, &Exact{Windows: 10_000}}} }), "expected milliseconds"},
		"ragged windows": {edit(func(p *Profile) { p.Shape.Strands[1].Counts = nil }), "0 windows"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// Any profile that can be read is written unchanged.
func FuzzRead(f *testing.F) {
	var text bytes.Buffer
	if err := sample().Write(&text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		var p *Profile
		var err error
		leaks.Within(t, 64<<20, func() { p, err = Read(bytes.NewReader(text)) })
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := p.Write(&again); err != nil {
			t.Fatal(err)
		}
		q, err := Read(&again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Fatal(diff)
		}
	})
}

// The schema has the keys of the file, and no others.
func TestJSONSchema(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(JSONSchema, &root); err != nil {
		t.Fatal(err)
	}
	compare(t, "profile", root, root, reflect.TypeFor[Profile]())
}

func compare(t *testing.T, at string, root, schema map[string]any, typ reflect.Type) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	switch typ.Kind() {
	case reflect.Pointer:
		compare(t, at, root, schema, typ.Elem())
	case reflect.Slice:
		compare(t, at+"[]", root, schema["items"].(map[string]any), typ.Elem())
	case reflect.Struct:
		if typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return
		}
		properties := schema["properties"].(map[string]any)
		var required []string
		for i := range typ.NumField() {
			name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if options == "" {
				required = append(required, name)
			}
			property, ok := properties[name].(map[string]any)
			if !ok {
				t.Errorf("%s.%s is not in the schema", at, name)
				continue
			}
			compare(t, at+"."+name, root, property, typ.Field(i).Type)
		}
		if len(properties) != typ.NumField() {
			t.Errorf("%s: %d properties in the schema, %d in the file", at, len(properties), typ.NumField())
		}
		for _, name := range schema["required"].([]any) {
			if !slices.Contains(required, name.(string)) {
				t.Errorf("%s.%s is required, and may be left out", at, name)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	a, b := sample(), sample()
	if d := Compare(a, a); d.Syscalls[0].Change != 0 || d.Bursts[0].Change != 0 {
		t.Errorf("%+v", d)
	}
	b.Syscalls[1].Container.Rate *= 3
	d := Compare(a, b)
	if first := d.Syscalls[0]; first.Name != "recvfrom" || first.A != 200 || first.B != 600 || first.Change != 2 {
		t.Errorf("%+v", first)
	}
}

// What was sampled of arguments is compared if both have it.
func TestCompareArguments(t *testing.T) {
	a := &Profile{Processes: &Processes{Arguments: &Quantiles{P50: 5}}, Paths: &Paths{Relative: 0.1, Depth: &Quantiles{P50: 4}},
		Sockets: []Socket{{Call: "socket", Family: "ipv4", Protocol: "stream", Share: 1}}}
	b := &Profile{Processes: &Processes{Arguments: &Quantiles{P50: 6}}, Paths: &Paths{Relative: 0.2, Depth: &Quantiles{P50: 8}},
		Sockets: []Socket{{Call: "connect", Family: "unix", Locality: "local", Share: 1}}}
	got := map[string]float64{}
	for _, d := range Compare(a, b).Totals {
		got[d.Name] = d.B - d.A
	}
	for name, want := range map[string]float64{"arguments p50": 1, "relative paths, share": 0.1, "their depth p50": 4, "socket ipv4 stream, share": -1, "connect unix local, share": 1} {
		if change, is := got[name]; !is || change != want {
			t.Errorf("%s: %g (%v), want %g", name, change, is, want)
		}
	}
	if d := Compare(a, &Profile{}); len(d.Totals) != len(Compare(&Profile{}, &Profile{}).Totals) {
		t.Errorf("compared with nothing: %+v", d.Totals)
	}
}

func TestQuantiles(t *testing.T) {
	var samples []float64
	for i := range 101 {
		samples = append(samples, float64(100-i))
	}
	if q := NewQuantiles(samples); *q != (Quantiles{50, 99, 100}) {
		t.Errorf("%+v", q)
	}
	if NewQuantiles(nil) != nil {
		t.Error("quantiles of nothing")
	}
}
