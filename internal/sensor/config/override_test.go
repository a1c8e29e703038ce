package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverrides(t *testing.T) {
	base := "rules_files: [a, b]\nrules: [{disable: {rule: x}}]\nhttp_output: {url: 'http://old'}\n"
	tests := []struct {
		name    string
		options []string
		check   func(*Config) any
		want    any
	}{
		{"scalar", []string{"json_output=true"}, func(c *Config) any { return c.JSON }, true},
		{"nested", []string{"http_output.url=http://x/?a=b"}, func(c *Config) any { return c.HTTP.URL }, "http://x/?a=b"},
		{"last wins", []string{"priority=info", "priority=error"}, func(c *Config) any { return c.Priority }, "error"},
		{"index", []string{"rules_files[1]=c"}, func(c *Config) any { return c.RulesFiles }, []string{"a", "c"}},
		{"append", []string{"rules_files[]=c", "rules_files[]=d"}, func(c *Config) any { return c.RulesFiles }, []string{"a", "b", "c", "d"}},
		{"append index", []string{"rules_files[2]=c"}, func(c *Config) any { return c.RulesFiles }, []string{"a", "b", "c"}},
		{"list", []string{"rules_files=[c, d]"}, func(c *Config) any { return c.RulesFiles }, []string{"c", "d"}},
		{"list over scalar", []string{"rules_files=c"}, func(c *Config) any { return c.RulesFiles }, []string{"c"}},
		{"map", []string{"file_output={enabled: true, filename: f}"}, func(c *Config) any { return c.File }, FileOutput{Enabled: true, Filename: "f"}},
		{"map in list", []string{"rules[].enable.tag=net"}, func(c *Config) any { return c.Rules },
			[]RuleSwitch{{Disable: &RuleSelector{Rule: "x"}}, {Enable: &RuleSelector{Tag: "net"}}}},
		{"into a map in a list", []string{"rules[0].disable.rule=y"}, func(c *Config) any { return c.Rules }, []RuleSwitch{{Disable: &RuleSelector{Rule: "y"}}}},
		{"escaped dot", []string{`static_fields.a\.b=1`}, func(c *Config) any { return c.StaticFields }, map[string]string{"a.b": "1"}},
		{"scalar becomes a map", []string{"json_output=true", "append_output=[{extra_output: x}]"}, func(c *Config) any { return c.AppendOutput[0].ExtraOutput }, "x"},
		{"map for a list of one", []string{"append_output.suggested_output=false"}, func(c *Config) any { return c.AppendOutput }, AppendOutputs{{}}},
		{"map for a list of one, in braces", []string{"append_output={match: {tags: [x]}, extra_output: y}"}, func(c *Config) any { return c.AppendOutput },
			AppendOutputs{{Match: AppendMatch{Tags: []string{"x"}}, ExtraOutput: "y"}}},
		{"environment", []string{"http_output.url=http://${HOST}"}, func(c *Config) any { return c.HTTP.URL }, "http://collector"},
		{"empty value", []string{"peregrine.status_socket="}, func(c *Config) any { return c.Peregrine.StatusSocket }, ""},
		{"helm spelling", []string{"outputs.maxBurst=5"}, func(c *Config) any { return c.Outputs.MaxBurst }, 5.0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, base, tt.options...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.check(c)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestOverrideErrors(t *testing.T) {
	for option, want := range map[string]string{
		"json_output":             `Error parsing config option "json_output". Must be of the form key=val or key.subkey=val`,
		"=x":                      "a key is missing",
		"a..b=x":                  "a key is missing",
		"rules_files[9]=x":        "index 9 is beyond the end",
		"rules_files[x]=x":        "[x] is not the index",
		"rules_files[-1]=x":       "[-1] is not the index",
		"rules_files[0=x":         "[ without ]",
		"rules_files[0]y=x":       "expected . or = after ]",
		"http_output={a: [}":      "value:",
		"json_output=perhaps":     `-o json_output: expected true or false, found a value "perhaps"`,
		"http_output.enabled={}":  "-o http_output.enabled: expected true or false",
		"outputs.rate=-1":         "-1 is too small",
		"metrics.interval=5":      "without Prometheus time unit",
		"config_files[]=DIR/none": "",
	} {
		_, err := load(t, "", option)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", option, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want ...%s", option, err, want)
		}
	}
}

func TestInclude(t *testing.T) {
	files := map[string]string{
		"falco.yaml": `
config_files:
  - DIR/conf.d
  - {path: DIR/override.yaml, strategy: override}
  - {path: DIR/add.yaml, strategy: add-only}
  - DIR/missing.yaml
rules_files: [a]
http_output: {url: http://a, user_agent: me}
priority: info
`,
		"conf.d/10-first.yaml": "rules_files: [b]\nhttp_output: {url: http://b}\n",
		"conf.d/20-next.yml":   "rules_files: [c]\npriority: error\n",
		"conf.d/ignored.txt":   "priority: alert\n",
		"conf.d/.hidden.yaml":  "priority: alert\n",
		"override.yaml":        "file_output: {filename: x}\nconfig_files: [DIR/nested.yaml]\n",
		"add.yaml":             "priority: debug\nlog_level: error\n",
		"nested.yaml":          "priority: alert\n",
	}
	c, err := loadFiles(t, files, "rules_files[]=d")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, c.RulesFiles); diff != "" {
		t.Errorf("rules_files (-want +got)\n%s", diff)
	}
	if c.HTTP.URL != "http://b" || c.HTTP.UserAgent != "me" || c.Priority != "error" || c.LogLevel != "error" || c.File.Filename != "x" {
		t.Errorf("merged wrongly: %+v", c)
	}
	if len(c.Files) != 5 || len(c.Notes) != 1 || !strings.Contains(c.Notes[0].Text, "cannot include others") {
		t.Errorf("files %v notes %v", c.Files, c.Notes)
	}
}

func TestIncludeOverrideStrategy(t *testing.T) {
	c, err := loadFiles(t, map[string]string{
		"falco.yaml": "config_files: [{path: DIR/o.yaml, strategy: override}]\nrules_files: [a]\nhttp_output: {url: http://a, user_agent: me}\n",
		"o.yaml":     "rules_files: [b]\nhttp_output: {url: http://b}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b"}, c.RulesFiles); diff != "" || c.HTTP.UserAgent != Default().HTTP.UserAgent {
		t.Errorf("%s user agent %q", diff, c.HTTP.UserAgent)
	}
}

func TestErrorInIncludedFileNamesIt(t *testing.T) {
	_, err := loadFiles(t, map[string]string{
		"falco.yaml": "config_files: [DIR/more.yaml]\n",
		"more.yaml":  "\njson_output: 3\n",
	})
	if err == nil || !strings.Contains(err.Error(), "more.yaml:2:14: json_output: expected") {
		t.Errorf("error %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(helmBlock, "rules[].disable.rule=*")
	f.Add("a: &a [*a]\nrules_files: *a\n", "x={")
	f.Add("<<: {<<: 1}\n? [1]\n: 2\n", `a\.b[0][]=[1]`)
	f.Add("append_output: [{match: x, extra_fields: [{a: [b]}]}]", "grpc=1")
	f.Fuzz(func(t *testing.T, text, option string) {
		if strings.Contains(text, "config_files") || strings.Contains(option, "config_files") {
			t.Skip("would read files of this machine")
		}
		tr := newTree(func(string) string { return "v" }, nil)
		root, err := tr.parse("f", []byte(text))
		if err != nil {
			return
		}
		tr.root = root
		if tr.override(option) != nil {
			return
		}
		tr.modernise()
		c, d := Default(), decoder{tree: tr}
		d.structure(tr.root, valueOf(c), "")
		c.defaultOutput(tr)
		c.check(tr)
		for _, issue := range tr.issues {
			_ = issue.String()
		}
	})
}

func valueOf(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }
