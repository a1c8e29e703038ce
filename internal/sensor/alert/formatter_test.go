package alert_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// shadow is a cat of /etc/shadow from a python program, as root.
func shadow(t testing.TB) *field.Context {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 10, PPID: 1, Comm: "bash"},
		fieldtest.Proc{PID: 11, PPID: 10, Comm: "bash"},
		fieldtest.Proc{PID: 12, PPID: 11, Comm: "bash"},
		fieldtest.Proc{PID: 13, PPID: 12, Comm: "python3"},
		fieldtest.Proc{PID: 14, PPID: 13, Comm: "cat", Argv: []string{"cat", "/etc/shadow"}, ExePath: "/usr/bin/cat"},
	)
	return w.Event(t, 14, event.KindOpenat,
		fieldtest.Num("fd", 3), fieldtest.Num("dirfd", -100), fieldtest.Text("name", "/etc/shadow"), fieldtest.Num("flags", 1),
		fieldtest.File(event.FileInfo{Type: event.FDFile}, ""))
}

const output = "Credentials read | file=%fd.name gparent=%proc.aname[2] ggparent=%proc.aname[3] gggparent=%proc.aname[4] " +
	"evt_type=%evt.type user=%user.name user_uid=%user.uid user_loginuid=%user.loginuid process=%proc.name " +
	"proc_exepath=%proc.exepath parent=%proc.pname command=%proc.cmdline terminal=%proc.tty"

var rule = alert.Rule{
	Name: "Read credentials", Priority: alert.Warning, Source: "syscall",
	Tags: []string{"host", "container", "T1555", "filesystem"},
}

func defaults() alert.Options {
	return alert.Options{
		JSON: true, JSONOutput: true, JSONFields: true, JSONTags: true, Hostname: "vm",
		Append: []alert.Append{{Suggested: true}},
	}
}

func local(t *testing.T, zone *time.Location) {
	old := time.Local
	time.Local = zone
	t.Cleanup(func() { time.Local = old })
}

func format(t testing.TB, c *field.Context, output string, opts alert.Options) *alert.Alert {
	t.Helper()
	f, err := alert.New(rule, output, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f.Format(c)
}

// The output of Falco 0.44.1 for this event, except for the rule's own words.
func TestFormatAsFalco(t *testing.T) {
	local(t, time.UTC)
	const text = "14:58:33.447936116: Warning Credentials read | file=/etc/shadow gparent=bash ggparent=bash gggparent=bash evt_type=openat user=root user_uid=0 user_loginuid=-1 process=cat proc_exepath=/usr/bin/cat parent=python3 command=cat /etc/shadow terminal=0 container_id=host container_name=host container_image_repository= container_image_tag= k8s_pod_name=<NA> k8s_ns_name=<NA>"
	a := format(t, shadow(t), output, defaults())
	want := `{"hostname":"vm","output":"` + text + `","output_fields":{"container.id":"host","container.image.repository":"","container.image.tag":"","container.name":"host","evt.time":1795359513447936116,"evt.type":"openat","fd.name":"/etc/shadow","k8s.ns.name":null,"k8s.pod.name":null,"proc.aname[2]":"bash","proc.aname[3]":"bash","proc.aname[4]":"bash","proc.cmdline":"cat /etc/shadow","proc.exepath":"/usr/bin/cat","proc.name":"cat","proc.pname":"python3","proc.tty":0,"user.loginuid":-1,"user.name":"root","user.uid":0},"priority":"Warning","rule":"Read credentials","source":"syscall","tags":["T1555","container","filesystem","host"],"time":"2026-11-22T14:58:33.447936116Z"}`
	if diff := cmp.Diff(want, string(a.Line)); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if a.Output != text || a.Message != strings.TrimPrefix(text, "14:58:33.447936116: Warning ") {
		t.Errorf("output %q, message %q", a.Output, a.Message)
	}
	if a.Time != fieldtest.Now || a.Rule != rule.Name || a.Priority != alert.Warning || a.Source != "syscall" || a.Hostname != "vm" {
		t.Errorf("alert %+v", a)
	}
	opts := defaults()
	opts.JSON = false
	if a := format(t, shadow(t), output, opts); string(a.Line) != text {
		t.Errorf("text line %q", a.Line)
	}
}

func TestOptions(t *testing.T) {
	local(t, time.FixedZone("", 2*3600))
	c := shadow(t)
	for _, tt := range []struct {
		name string
		set  func(*alert.Options)
		want string
	}{
		{"local time", func(o *alert.Options) {}, "16:58:33.447936116: Warning cat"},
		{"iso time", func(o *alert.Options) { o.ISO8601 = true }, "2026-11-22T14:58:33.447936116+0000: Warning cat"},
		{
			"iso time in JSON", func(o *alert.Options) { o.ISO8601, o.JSON, o.JSONFields = true, true, true },
			`{"hostname":"","output_fields":{"evt.time.iso8601":1795359513447936116,"proc.name":"cat"},"priority":"Warning","rule":"Read credentials","source":"syscall","time":"2026-11-22T14:58:33.447936116Z"}`,
		},
		{
			"message only", func(o *alert.Options) { o.JSON, o.JSONMessage = true, true },
			`{"hostname":"","message":"cat","priority":"Warning","rule":"Read credentials","source":"syscall","time":"2026-11-22T14:58:33.447936116Z"}`,
		},
		{
			"append in order", func(o *alert.Options) {
				o.Append = []alert.Append{
					{Output: "a=%proc.pname"},
					{Rule: "Other", Output: "no"}, {Source: "k8s", Output: "no"}, {Tags: []string{"host", "x"}, Output: "no"},
					{Rule: rule.Name, Source: "syscall", Tags: []string{"host", "T1555"}, Output: "b=%evt.type"},
				}
			}, "16:58:33.447936116: Warning cat a=python3 b=openat",
		},
		{
			"extra fields", func(o *alert.Options) {
				o.JSON, o.JSONFields = true, true
				o.Append = []alert.Append{{Fields: []alert.ExtraField{
					{Name: "proc.pid"}, {Name: "proc.name"}, {Name: "who", Format: "%user.name/%proc.pname \"q\""}, {Name: "fd.sip"},
				}}}
			},
			`{"hostname":"","output_fields":{"evt.time":1795359513447936116,"fd.sip":null,"proc.name":"cat","proc.pid":14,"who":"root/python3 \"q\""},"priority":"Warning","rule":"Read credentials","source":"syscall","time":"2026-11-22T14:58:33.447936116Z"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o alert.Options
			tt.set(&o)
			if diff := cmp.Diff(tt.want, string(format(t, c, "%proc.name", o).Line)); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

// Text chosen by a process cannot break a line, a terminal or JSON.
//
// It shows a row of docs/compatibility.md.
func TestHostileText(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 5, Comm: "a\nb\x1b[31m", Argv: []string{"x", "\"q\" \\ \xff\xfe é \u009b \x00"}})
	opts := defaults()
	opts.Append = nil
	a := format(t, w.Event(t, 5, event.KindClose), "%proc.name %proc.cmdline", opts)
	const want = "a\ufffdb\ufffd[31m"
	if !strings.HasPrefix(a.Message, want) || strings.ContainsAny(a.Output, "\n\x1b") {
		t.Errorf("message %q", a.Message)
	}
	var got struct {
		Output string
		Fields map[string]any `json:"output_fields"`
	}
	if err := json.Unmarshal(a.Line, &got); err != nil {
		t.Fatalf("%v: %s", err, a.Line)
	}
	if got.Output != a.Output || got.Fields["proc.name"] != want {
		t.Errorf("JSON output %q, want %q; name %q", got.Output, a.Output, got.Fields["proc.name"])
	}
	if !strings.Contains(a.Message, "\"q\" \\ \ufffd\ufffd é \ufffd") {
		t.Errorf("message %q", a.Message)
	}
}

// An alert owns its bytes: the next event must not change it.
func TestAlertOwnsItsBytes(t *testing.T) {
	f, err := alert.New(rule, "%fd.name %evt.args", defaults())
	if err != nil {
		t.Fatal(err)
	}
	w := fieldtest.New(t, fieldtest.Proc{PID: 5, Comm: "x"})
	open := func(name string) *alert.Alert {
		return f.Format(w.Event(t, 5, event.KindOpen, fieldtest.Num("fd", 3), fieldtest.Text("name", name)))
	}
	a := open("/etc/first/../one")
	line, out, value := string(a.Line), strings.Clone(a.Output), strings.Clone(a.Fields[1].Value.Str)
	open("/etc/second/../another")
	if string(a.Line) != line || a.Output != out || a.Fields[1].Value.Str != value {
		t.Errorf("the alert changed: %s", a.Line)
	}
}

func TestFormatErrors(t *testing.T) {
	for _, tt := range []struct{ output, want string }{
		{"x %proc.nosuch y", "invalid formatting token proc.nosuch: filter_check called with nonexistent field proc.nosuch (at position 2 of the output)"},
		{"100%", "formatting cannot end with a %"},
		{"% ", "invalid formatting token"},
		{"%fd.ip", "filter only"},
		{"%evt.arg", "requires an argument"},
		{"%toupper(proc.name", "expected a ',' or ')'"},
		{"%toupper(nosuch.field)", "nonexistent field nosuch.field"},
		{"%tolower(proc.pid)", "applies to texts"},
	} {
		_, err := alert.New(rule, tt.output, alert.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q) = %v, want an error with %q", tt.output, err, tt.want)
		}
	}
	for _, x := range []alert.ExtraField{{Name: "nosuch.field"}, {Name: "proc.name x"}, {Name: "a", Format: "%nosuch"}} {
		_, err := alert.New(rule, "x", alert.Options{Append: []alert.Append{{Fields: []alert.ExtraField{x}}}})
		if err == nil || !strings.Contains(err.Error(), "extra field "+x.Name) {
			t.Errorf("extra field %+v: %v", x, err)
		}
	}
}

func TestFormatAllocations(t *testing.T) {
	c := shadow(t)
	f, err := alert.New(rule, output, defaults())
	if err != nil {
		t.Fatal(err)
	}
	// the alert, its fields, its text, its line
	if n := testing.AllocsPerRun(100, func() { c.Reset(); f.Format(c) }); n > 4 {
		t.Errorf("%v allocations an alert, want 4", n)
	}
}

// The line alone is the line of a whole alert, and the alert's own.
func TestLineOnly(t *testing.T) {
	local(t, time.UTC)
	for name, set := range map[string]func(*alert.Options){
		"json":    func(o *alert.Options) {},
		"text":    func(o *alert.Options) { o.JSON = false },
		"message": func(o *alert.Options) { o.JSONMessage, o.JSONFields = true, false },
		"formats": func(o *alert.Options) {
			o.Append = append(o.Append, alert.Append{Fields: []alert.ExtraField{{Name: "who", Format: "%user.name as %proc.name"}}})
		},
	} {
		opts := defaults()
		set(&opts)
		whole := format(t, shadow(t), output, opts)
		opts.LineOnly = true
		f, err := alert.New(rule, output, opts)
		if err != nil {
			t.Fatal(err)
		}
		c := shadow(t)
		line := f.Format(c)
		c.Reset()
		c.Time++
		f.Format(c) // must not write over the first
		want := *whole
		want.Output, want.Message, want.Fields = "", "", nil
		if diff := cmp.Diff(&want, line, cmpopts.IgnoreUnexported(alert.Alert{})); diff != "" {
			t.Errorf("%s (-whole +line only):\n%s", name, diff)
		}
	}
}

func BenchmarkFormat(b *testing.B) {
	c := shadow(b)
	for _, tt := range []struct {
		name           string
		json, lineOnly bool
	}{{"text", false, false}, {"json", true, false}, {"text line", false, true}, {"json line", true, true}} {
		opts := defaults()
		opts.JSON, opts.LineOnly = tt.json, tt.lineOnly
		f, err := alert.New(rule, output, opts)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Reset()
				a := f.Format(c)
				a.Share(1)
				a.Release()
			}
		})
	}
}
