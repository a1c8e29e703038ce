package alert_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestTemplate(t *testing.T) {
	c := shadow(t)
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"plain", "plain"},
		{"*%proc.name", "cat"},
		{"*", ""},
		{"%proc.name", "cat"},
		{"%proc.name.", "cat."},
		{"%proc.namely", "catly"}, // the longest name that there is
		{"a%proc.name%proc.pname", "acatpython3"},
		{"(%proc.aname[2])[x]", "(bash)[x]"},
		{"%proc.env[HOME]!", "!"},
		{`%proc.env["A B"]`, ""},
		{"%fd.sip %fd.name", "<NA> /etc/shadow"},
		{"%evt.failed %user.uid %user.loginuid", "false 0 -1"},
		{"100%% of %proc.name", "100% of cat"},
		{"[%8proc.name]", "[cat     ]"},
		{"[%2proc.name]", "[ca]"},
		{"%toupper(proc.name)", "CAT"},
		{"%concat(proc.name, \"-\", toupper(proc.pname))", "cat-PYTHON3"},
		{"%len(proc.name)x", "3x"},
		{"%evt.arg.flags|%evt.arg[3]", "O_RDONLY|O_RDONLY"},
		{"two\nlines\tand a tab", "two lines and a tab"},
		{"%evt.time.iso8601", "2026-11-22T14:58:33.447936116+0000"},
		{"%fd.dev", "0"},
	} {
		tpl, err := alert.CompileTemplate(tt.text, field.Syscall)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got := string(tpl.Append([]byte("> "), c)); got != "> "+tt.want {
			t.Errorf("%q gives %q, want %q", tt.text, got, "> "+tt.want)
		}
	}
}

func TestTemplateTypes(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 5, Comm: "nc"})
	sock := event.FileInfo{Type: event.FDIPv4, L4Proto: 6, Flags: event.FileClient | event.FileConnected, SPort: 40000, DPort: 443, Dev: 0xFD00}
	c := w.Event(t, 5, event.KindWrite, fieldtest.Num("res", 4), fieldtest.Text("data", "a\x00b\n"), fieldtest.File(sock, "\x0a\x00\x00\x01\x0a\x00\x00\x02"))
	for _, tt := range []struct{ text, want string }{
		{"%fd.sip:%fd.sport %fd.rip", "10.0.0.2:443 10.0.0.2"},
		{"%evt.buffer", "a.b."},
		{"%evt.buflen", "4"},
		{"%fd.dev", "FD00"},
		{"%fd.types", "<NA>"},
		{"%fd.sip.name", "<NA>"},
		{"%fd.connected", "true"},
	} {
		tpl, err := alert.CompileTemplate(tt.text, field.Syscall)
		if err != nil {
			t.Fatalf("%q: %v", tt.text, err)
		}
		if got := string(tpl.Append(nil, c)); got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.text, got, tt.want)
		}
	}
}

// Lists and fractions, which only /proc gives.
func TestTemplateProc(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "5", "fd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for fd, to := range map[string]string{"0": "pipe:[1]", "1": "pipe:[2]", "2": "anon_inode:[eventfd]"} {
		if err := os.Symlink(to, filepath.Join(dir, fd)); err != nil {
			t.Fatal(err)
		}
	}
	w := fieldtest.New(t, fieldtest.Proc{PID: 5, Comm: "x"})
	w.Context.Static.Proc = root
	c := w.Event(t, 5, event.KindClose)
	opts := defaults()
	opts.Append = nil
	a := format(t, c, "%fd.types %fd.types[9] %proc.fdusage %evt.time.s", opts)
	if !strings.HasPrefix(a.Message, "(event,pipe) <NA> 0.29296875 ") {
		t.Errorf("message %q", a.Message)
	}
	const want = `"output_fields":{"evt.time":1795359513447936116,"evt.time.s":1795359513447936116,"fd.types":"(event,pipe)","fd.types[9]":null,"proc.fdusage":0.29296875}`
	if !strings.Contains(string(a.Line), want) {
		t.Errorf("line %s", a.Line)
	}
}

// Any text compiles or is refused with an error; a compiled template gives text
// that fits on a line.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		output, "*%evt.time: x", "%proc.aname[2", "%%%", "%20proc.name", "%getopt(proc.args, \"ab:\")[b]",
		"%join(\",\", (proc.name, proc.pname))", "%evt.arg.name%evt.arg[0]", "%toupper(tolower(b64(proc.name)))", "%99999999999999999999proc.name",
	} {
		f.Add(s)
	}
	c := shadow(f)
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := alert.CompileTemplate(text, field.Syscall)
		if err != nil {
			return
		}
		c.Reset()
		got := tpl.Append(nil, c)
		if !utf8.Valid(got) || slices.ContainsFunc(got, func(b byte) bool { return b < ' ' }) {
			t.Errorf("%q gives %q", text, got)
		}
	})
}
