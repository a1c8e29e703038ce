package rules

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// load loads files that must be sound.
func load(t testing.TB, files ...string) *Set {
	t.Helper()
	var sources []Source
	for i, f := range files {
		sources = append(sources, Source{Name: fmt.Sprintf("file%d.yaml", i+1), Content: []byte(f)})
	}
	set, report := Load(sources, Options{Lookup: field.Lookup})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

// rule is a rule with the given condition.
func ruleWith(cond string) string {
	return "- rule: r\n  desc: first\n  condition: " + cond + "\n  output: out %proc.name\n  priority: WARNING\n  tags: [b, a]\n"
}

func TestWidened(t *testing.T) {
	r := load(t, ruleWith("evt.type = open and not evt.type = execve")).Rules[0]
	if got, want := r.Node.String(), "(evt.type in (open, creat, open_by_handle_at) and not evt.type = execve)"; got != want {
		t.Errorf("Node = %s, want %s", got, want)
	}
	if got, want := r.AST.String(), "(evt.type = open and not evt.type = execve)"; got != want {
		t.Errorf("AST = %s, want %s", got, want)
	}
}

func TestOverride(t *testing.T) {
	set := load(t, ruleWith("proc.name = a"),
		"- rule: r\n  desc: second\n  output: more\n  tags: [c, a]\n  priority: error\n  enabled: no\n  capture: true\n  capture_duration: 500\n"+
			"  override: {desc: append, output: append, tags: append, priority: replace, enabled: replace, capture: replace, capture_duration: replace}\n")
	r := set.Rules[0]
	got := []any{r.Desc, r.Output, r.Tags, r.Priority, r.Enabled, r.Capture, r.CaptureDuration, r.File, r.Line}
	want := []any{"first second", "out %proc.name more", []string{"a", "b", "c"}, alert.Error, false, true, uint32(500), "file1.yaml", 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRedefinedKeepsItsPlace(t *testing.T) {
	other := strings.Replace(ruleWith("proc.name = x"), "rule: r", "rule: other", 1)
	set := load(t, ruleWith("proc.name = a")+other, ruleWith("proc.name = b"))
	if len(set.Rules) != 2 || set.Rules[0].Name != "r" || set.Rules[1].Name != "other" {
		t.Errorf("%d rules, first %s", len(set.Rules), set.Rules[0].Name)
	}
}

func TestForeignRules(t *testing.T) {
	set := load(t, ruleWith("ka.verb = get")+"  source: k8s_audit\n", strings.Replace(ruleWith("evt.type = open"), "rule: r", "rule: s", 1))
	if len(set.Rules) != 1 || len(set.Foreign) != 1 || set.Foreign[0].Name != "r" || set.Foreign[0].Node != nil {
		t.Errorf("%d rules, %d foreign", len(set.Rules), len(set.Foreign))
	}
}

func TestSkippedRule(t *testing.T) {
	set := load(t, ruleWith("evt.type = open and no.field = x")+"  skip-if-unknown-filter: true\n")
	if len(set.Rules) != 0 {
		t.Error("a rule with an unknown field is loaded")
	}
}

func TestWarningsOnce(t *testing.T) {
	files := []Source{
		{"a.yaml", []byte("- macro: m\n  condition: evt.type = open\n- macro: later\n  condition: evt.type = open\n")},
		{"b.yaml", []byte(ruleWith("later") + "  wrong: key\n")},
		{"c.yaml", nil},
	}
	_, report := Load(files, Options{Lookup: field.Lookup})
	for i, want := range []int{1, 1, 0} {
		if got := len(report.Results[i].Warnings); got != want {
			t.Errorf("%s: %d warnings, want %d", files[i].Name, got, want)
		}
	}
}

func TestLaterFilesAreCheckedToo(t *testing.T) {
	files := []Source{{"bad.yaml", []byte("- macro: m\n")}, {"good.yaml", []byte(ruleWith("evt.type = open"))}, {"worse.yaml", []byte("- list: l\n")}}
	set, report := Load(files, Options{Lookup: field.Lookup})
	if set != nil || report.OK() {
		t.Fatal("bad files give a Set")
	}
	var text bytes.Buffer
	if err := report.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bad.yaml: Invalid", "good.yaml: Ok", "worse.yaml: Invalid"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, &text)
		}
	}
	if got := report.Err().Error(); !strings.Contains(got, "bad.yaml:1:3: LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'condition'") {
		t.Errorf("error %s", got)
	}
}

// One error is reported once, for the file to correct.
//
// It shows a row of docs/compatibility.md.
func TestErrorsOnce(t *testing.T) {
	rule := func(name, cond string) string {
		return strings.Replace(ruleWith(cond), "rule: r", "rule: "+name, 1)
	}
	const (
		ok       = "evt.type = open"
		unknown  = "evt.type = opneat"
		badMacro = "- macro: m\n  condition: proc.nme = x\n"
	)
	for _, tt := range []struct {
		name  string
		files []string
		want  string // errors of each file
	}{
		{"one bad condition", []string{rule("a", unknown), rule("b", ok), rule("c", ok), rule("d", ok)}, "1 0 0 0"},
		{"the same mistake in two files", []string{rule("a", unknown), rule("b", ok), rule("c", unknown)}, "1 0 1"},
		{"two mistakes in one file", []string{rule("a", unknown) + rule("b", "proc.nme = x"), rule("c", ok)}, "1 0"},
		{"a mistake before the end of YAML", []string{rule("a", unknown) + "- list: l\n", rule("b", ok)}, "1 0"},
		{"a macro that does not parse", []string{"- macro: m\n  condition: proc.name = \n", rule("b", "m"), rule("c", "m and "+ok)}, "1 0 0"},
		{"a macro with an unknown field", []string{badMacro + rule("a", "m"), rule("b", ok+" and m"), rule("c", "not m")}, "1 0 0"},
		{"a loop of macros", []string{"- macro: a\n  condition: evt.type = open\n- macro: b\n  condition: a\n- macro: a\n  condition: b\n", rule("c", ok)}, "1 0"},
		{"an undefined macro", []string{rule("a", ok+" and nosuch"), rule("b", ok)}, "1 0"},
		{"a bad output", []string{strings.Replace(ruleWith(ok), "%proc.name", "%proc.nme", 1), rule("b", ok)}, "1 0"},
		{"a plugin that is not there", []string{"- required_plugin_versions:\n    - name: okta\n      version: 0.1.0\n", rule("b", ok)}, "1 0"},
		{"an append that breaks a good rule", []string{ruleWith(ok), "- rule: r\n  condition: and proc.nme = x\n  append: true\n", rule("b", ok)}, "0 1 0"},
	} {
		var sources []Source
		for i, f := range tt.files {
			sources = append(sources, Source{Name: fmt.Sprintf("file%d.yaml", i+1), Content: []byte(f)})
		}
		set, report := Load(sources, Options{Lookup: field.Lookup})
		var got []string
		for _, res := range report.Results {
			got = append(got, fmt.Sprint(len(res.Errors)))
		}
		if set != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %s errors, want %s:\n%v", tt.name, strings.Join(got, " "), tt.want, report.Err())
		}
	}
}

// A rule keeps the source of its first definition; an item that says nothing
// defines a rule of source syscall, and changes one of any source.
func TestSourceOfRedefinitions(t *testing.T) {
	audit := ruleWith("ka.verb = get") + "  source: k8s_audit\n"
	for _, tt := range []struct {
		first, second string
		ok            bool
	}{
		{ruleWith("evt.type = open"), ruleWith("evt.type = close"), true},
		{ruleWith("evt.type = open"), ruleWith("evt.type = close") + "  source: syscall\n", true},
		{ruleWith("evt.type = open"), audit, false},
		{audit, ruleWith("evt.type = open"), false},
		{audit, audit, true},
		{ruleWith("evt.type = open"), "- rule: r\n  source: k8s_audit\n  condition: and proc.name = a\n  append: true\n", false},
		{ruleWith("evt.type = open"), "- rule: r\n  source: k8s_audit\n  condition: evt.type = execve\n  override: {condition: replace}\n", false},
		{ruleWith("evt.type = open"), "- rule: r\n  source: k8s_audit\n  condition: and proc.name = a\n  override: {condition: append}\n", false},
		{ruleWith("evt.type = open"), "- rule: r\n  source: k8s_audit\n  enabled: false\n", false},
		{ruleWith("evt.type = open"), "- rule: r\n  source: syscall\n  enabled: false\n", true},
		{ruleWith("evt.type = open"), "- rule: r\n  source:\n  condition: and proc.name = a\n  append: true\n", true},
		{ruleWith("evt.type = open"), "- rule: r\n  source: ''\n  condition: and proc.name = a\n  append: true\n", true},
		{audit, "- rule: r\n  source: syscall\n  condition: and proc.name = a\n  append: true\n", false},
		{audit, "- rule: r\n  condition: and ka.verb = list\n  append: true\n", true},
		{audit, "- rule: r\n  condition: ka.verb = list\n  override: {condition: replace}\n", true},
	} {
		for _, files := range [][]Source{{{"a.yaml", []byte(tt.first + tt.second)}}, {{"a.yaml", []byte(tt.first)}, {"b.yaml", []byte(tt.second)}}} {
			_, report := Load(files, Options{Lookup: field.Lookup})
			err := report.Err()
			if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "LOAD_ERR_VALIDATE: Rule has been re-defined with a different source") {
				t.Errorf("%s%s%v", tt.first, tt.second, err)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	var files strings.Builder
	for _, name := range []string{"Read a", "Read b", "Write a", "Off"} {
		text := strings.Replace(ruleWith("evt.type = open"), "rule: r", "rule: "+name, 1)
		text = strings.Replace(text, "[b, a]", "["+strings.ToLower(name[:1])+"]", 1)
		if name == "Off" {
			text += "  enabled: false\n"
		}
		if name == "Write a" {
			text = strings.Replace(text, "WARNING", "debug", 1)
		}
		files.WriteString(text)
	}
	tests := []struct {
		name     string
		min      alert.Priority
		switches []Switch
		want     string
	}{
		{"as written", alert.Debug, nil, "Read a,Read b,Write a"},
		{"priority", alert.Warning, nil, "Read a,Read b"},
		{"more urgent", alert.Error, nil, ""},
		{"disable by wildcard", alert.Debug, []Switch{{Name: "Read*"}}, "Write a"},
		{"disable all, enable one", alert.Debug, []Switch{{Name: "*"}, {Enable: true, Name: "* a"}}, "Read a,Write a"},
		{"enable by tag", alert.Debug, []Switch{{Enable: true, Tag: "o"}}, "Read a,Read b,Write a,Off"},
		{"in order", alert.Debug, []Switch{{Enable: true, Name: "Read*"}, {Name: "Read b"}}, "Read a,Write a"},
		{"-D", alert.Debug, OldFlags([]string{"ead"}, nil, nil), "Write a"},
		{"-T", alert.Debug, OldFlags(nil, []string{"r"}, nil), "Write a"},
		{"-t", alert.Debug, OldFlags(nil, nil, []string{"w", "o"}), "Write a,Off"},
	}
	for _, tt := range tests {
		set := load(t, files.String())
		set.Select(tt.switches)
		var names []string
		for _, r := range set.Enabled(tt.min) {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, ","); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true},
		{"a*b*c", "aXbYc", true}, {"a*b*c", "ac", false}, {"a*a", "a", false}, {"**", "x", true}, {"", "", true},
	} {
		if got := wildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("wildcard(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func TestTagged(t *testing.T) {
	other := strings.NewReplacer("rule: r", "rule: other", "[b, a]", "[b]").Replace(ruleWith("evt.type = open"))
	set := load(t, ruleWith("evt.type = open")+other)
	for tag, want := range map[string]int{"a": 1, "b": 2, "c": 0} {
		if got := set.Tagged(tag).Rules; len(got) != want {
			t.Errorf("%d rules have the tag %s, want %d", len(got), tag, want)
		}
	}
	if len(set.Rules) != 2 {
		t.Errorf("the set has %d rules left", len(set.Rules))
	}
}

// A description has the fields that the configuration adds: typed ones by name,
// texts by name and format.
func TestDescribeAdditions(t *testing.T) {
	set := load(t, ruleWith("evt.type = open"))
	d, err := set.Describe("r", alert.Options{Append: []alert.Append{{Fields: []alert.ExtraField{{Name: "proc.pid"}, {Name: "who", Format: "%user.name"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	details := d.Rules[0].Details
	if !slices.Contains(details.OutputFields, "proc.pid") || details.ExtraFormatted["who"] != "%user.name" || slices.Contains(details.OutputFields, "who") {
		t.Errorf("%+v", details)
	}
}

func TestAnyCase(t *testing.T) {
	if got, want := anyCase([]string{"ab", "c"}), "^([aA][bB]|[cC])$"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDescribe(t *testing.T) {
	set := load(t, "- required_engine_version: 0.57.0\n- required_plugin_versions:\n    - name: container\n      version: 0.4.0\n"+
		"- list: base\n  items: [ash]\n- list: shells\n  items: [base, bash]\n- macro: shell\n  condition: proc.name in (shells)\n"+
		ruleWith("evt.type = open and shell and fd.name startswith /etc")+
		"  exceptions:\n    - name: e\n      fields: [fd.name]\n      values: [[/etc/x]]\n")
	for _, name := range []string{"", "r"} {
		d, err := set.Describe(name, alert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var text, line bytes.Buffer
		if err := d.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if err := d.WriteJSON(&line); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/describe"+name+".golden", append(text.Bytes(), line.Bytes()...))
	}
	if _, err := set.Describe("x", alert.Options{}); err == nil || err.Error() != `Rule "x" is not loaded` {
		t.Errorf("error %v", err)
	}
}
