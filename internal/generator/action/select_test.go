package action

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	for _, test := range []struct {
		name, expression string
		all              bool
		exclude          []string
		count            int
		problem          string // part of the error
	}{
		{"nothing given is what event-generator runs", "", false, nil, 30, ""},
		{"all of event-generator's", "", true, nil, 86, ""},
		{"enabled syscalls", "^syscall", false, nil, 23, ""},
		{"noise by name", "^noise", false, nil, 8, ""},
		{"unanchored", "ReadSensitiveFile", false, nil, 2, ""},
		{"alternatives", "ReadSensitiveFileUntrusted|ClearLog", false, nil, 2, ""},
		{"excluded", "ReadSensitiveFile", false, []string{"Trusted"}, 1, ""},
		{"case matters", "readsensitive", false, nil, 0, "no events matching 'readsensitive'"},
		{"unknown", "nosuch", true, nil, 0, "no events matching 'nosuch'"},
		{"all excluded", "ClearLog", false, []string{"Clear"}, 0, "no events matching 'ClearLog' without those matching 'Clear'"},
		{"disabled", "^syscall.WriteBelowEtc$", false, nil, 0, "no enabled events matching '^syscall.WriteBelowEtc$': syscall.WriteBelowEtc is disabled by default, add --all"},
		{"disabled, with all", "^syscall.WriteBelowEtc$", true, nil, 1, ""},
		{"bad expression", "(", false, nil, 0, "missing closing )"},
		{"bad exclusion", "", false, []string{"["}, 0, `excluded actions "["`},
	} {
		t.Run(test.name, func(t *testing.T) {
			actions, err := Select(test.expression, test.all, test.exclude...)
			if test.problem == "" && err != nil || test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) {
				t.Errorf("error %v, want %q", err, test.problem)
			}
			if len(actions) != test.count {
				t.Errorf("%d actions, want %d", len(actions), test.count)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		filter Filter
		want   string // names, or part of the error
	}{
		{Filter{Tag: "T1555", Bench: "yes", Risk: "none", RuleSet: "stable"}, "CreateSymlinkOverSensitiveFiles DirectoryTraversalMonitoredFileRead ReadSensitiveFileUntrusted"},
		{Filter{Tag: "T1555", Risk: "files"}, "CreateHardlinkOverSensitiveFiles"},
		{Filter{Bench: "no", RuleSet: "stable"}, "ReadSensitiveFileTrustedAfterStartup"},
		{Filter{Tag: "nosuch"}, "none of the 66 selected actions"},
		{Filter{Risk: "high"}, "expected one of none, files, network"},
		{Filter{Bench: "maybe"}, "expected one of yes, slow, no"},
		{Filter{RuleSet: "beta"}, "expected one of stable"},
	} {
		actions, err := Select("^syscall", true)
		if err != nil {
			t.Fatal(err)
		}
		actions, err = test.filter.Apply(actions)
		var names []string
		for _, a := range actions {
			_, short, _ := cutName(a.Name)
			names = append(names, short)
		}
		if err != nil {
			names = []string{err.Error()}
		}
		if got := strings.Join(names, " "); got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%+v: %s, want %s", test.filter, got, test.want)
		}
	}
}

func TestWriteList(t *testing.T) {
	a, _ := Lookup("syscall.ReadShellConfigurationFile")
	b, _ := Lookup("syscall.PacketSocketCreatedInContainer")
	c, _ := Lookup("noise.OpenClose")
	list := []*Action{a, b, c}
	for format, want := range map[string]string{
		"name": "syscall.ReadShellConfigurationFile\nsyscall.PacketSocketCreatedInContainer\nnoise.OpenClose\n",
		"table": "ACTION                                  RULE                                      RULE SET  NEEDS            COST  BENCH  RISK\n" +
			"syscall.ReadShellConfigurationFile      Read Shell Configuration File (disabled)  sandbox   -                fast  yes    none\n" +
			"syscall.PacketSocketCreatedInContainer  Packet socket created in container        stable    container, root  slow  slow   none\n" +
			"noise.OpenClose                         -                                         none      -                fast  yes    none\n",
	} {
		var b bytes.Buffer
		if err := WriteList(&b, list, format); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, &b, want)
		}
	}
	var out bytes.Buffer
	if err := WriteList(&out, list, "json"); err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	if err := json.Unmarshal(out.Bytes(), &objects); err != nil || len(objects) != 3 {
		t.Fatalf("%v: %d objects", err, len(objects))
	}
	for _, key := range []string{"name", "rule", "ruleset", "tags", "needs", "cost", "risk", "bench", "default"} {
		if _, ok := objects[1][key]; !ok {
			t.Errorf("no %q in %v", key, objects[1])
		}
	}
	out.Reset()
	if err := WriteList(&out, list, "markdown"); err != nil || strings.Count(out.String(), "\n") != 5 {
		t.Errorf("markdown: %v\n%s", err, &out)
	}
	if err := WriteList(&out, list, "xml"); err == nil {
		t.Error("no error for an unknown format")
	}
}

func TestLeftOut(t *testing.T) {
	for _, tt := range []struct {
		expression string
		exclude    []string
		want       []string
	}{
		{"ReadSensitiveFileUntrusted", nil, nil},
		{"", nil, nil},
		{"ChangeThreadNamespace|ReadSensitiveFileUntrusted|WriteBelowBinaryDir", nil, []string{"syscall.ChangeThreadNamespace", "syscall.WriteBelowBinaryDir"}},
		{"ChangeThreadNamespace|WriteBelowBinaryDir", []string{"Change"}, []string{"syscall.WriteBelowBinaryDir"}},
	} {
		if got := LeftOut(tt.expression, tt.exclude...); !slices.Equal(got, tt.want) {
			t.Errorf("LeftOut(%q, %q) = %q, want %q", tt.expression, tt.exclude, got, tt.want)
		}
	}
}
