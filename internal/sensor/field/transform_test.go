package field_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func tarWorld(t testing.TB) *fieldtest.World {
	return fieldtest.New(t, fieldtest.Proc{
		PID: 5, Comm: "Tar", Argv: []string{"/usr/bin/Tar", "-xzf", "a b.tgz", "file", "-C", "/tmp", "-vf", "last", "-q"},
		ExePath: "/usr/bin/Tar", Env: []string{"B64=aGVsbG8=", "BAD=a*b"},
	})
}

func TestTransform(t *testing.T) {
	c := tarWorld(t).Event(t, 5, event.KindClose)
	for _, tt := range []struct{ text, want string }{
		{"tolower(proc.name)", "tar"},
		{"toupper(proc.name)", "TAR"},
		{"tolower(toupper(proc.exepath))", "/usr/bin/tar"},
		{"toupper(proc.pname)", "-"},
		{"basename(proc.exepath)", "Tar"},
		{"basename(proc.cwd)", ""},
		{"basename(proc.name)", "Tar"},
		{"b64(proc.env[B64])", "hello"},
		{"b64(proc.env[BAD])", "-"},
		{"len(proc.name)", "3"},
		{"len(proc.pname)", "-"},
		{"len((proc.name, \"x\", 'y'))", "3"},
		{"concat(proc.name, \"/\", basename(proc.exepath))", "Tar/Tar"},
		{"concat(proc.name, proc.pname)", "-"},
		{"join(\"+\", (proc.name, \"b\"))", "Tar+b"},
		{"join(\",\", proc.args)", "-xzf,a b.tgz,file,-C,/tmp,-vf,last,-q"},
		{"join(\",\", proc.exeline)", "/usr/bin/Tar,-xzf,a,b.tgz,file,-C,/tmp,-vf,last,-q"},
		{"join(\",\", (proc.name, proc.pname))", "-"},
		{"join(\"-\", (proc.pid, proc.cmdnargs, 7))", "5-8-7"},
		{"join(\"-\", (proc.name, fd.sport))", "-"},
		{"b64(concat(\"aGVsbG8\", \"\"))", "hello"},
		{"b64(concat(\"aA\", \"==\"))", "h"},
		{"b64(concat(\"aGVsb\", \"\"))", "-"},
		{"getopt(proc.args, \"xzvf:C:\")[f]", "a b.tgz"},
		{"getopt(proc.args, \"xzvf:C:\")[x]", "x"},
		{"getopt(proc.args, \"xzvf:C:\")[C]", "-"}, // behind an operand
		{"getopt(proc.args, \"xzvf:C:\")", "x,z,f,a b.tgz"},
		{"getopt((\"-a\", \"--\", \"-b\"), \"ab\")", "a"},
		{"getopt((\"-a\", \"-\", \"-b\"), \"ab\")", "a"},
		{"getopt((\"-a\", \"\", \"-b\"), \"ab\")", "a"},
		{"getopt((\"-a\", \"--bb\", \"-b\"), \"ab\")", "a,b"},
		{"getopt((\"-aqb\"), \"ab\")", "a,?,b"},
		{"getopt((\"-a:b\"), \"ab:\")", "a,?,"},
		{"getopt((\"-f\"), \"f:\")", ""},
		{"getopt((\"-f\"), \"f:\")[f]", ""},
		{"getopt((\"-f\"), \":f:\")[f]", ""},
		{"getopt((\"-fvalue\", \"-b\"), \"f:b\")", "f,value,b"},
		{"getopt((\"-f\", \"-b\"), \"f:b\")", "f,-b"},
		{"getopt((\"-f1\", \"-f\", \"2\"), \"f:\")[f]", "2"},
		{"join(\" \", getopt(proc.args, \"xzvf:C:\"))", "x z f a b.tgz"},
		{"len(getopt(proc.args, \"xzvf:C:\"))", "4"},
		{"tolower(getopt((\"-C\", \"TMP\"), \"C:\"))", "c,tmp"},
	} {
		o, err := field.Syscall.ParseOperand(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got := valueOf(o.Extractor, c); got != tt.want || o.Text != tt.text {
			t.Errorf("%s = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestTransformStage(t *testing.T) {
	for text, want := range map[string]field.Stage{
		"tolower(proc.name)": field.AtExec, "concat(proc.name, fd.name)": field.AtEvent, "tolower(evt.type)": field.AtLoad, "len(\"abc\")": field.AtLoad,
		"concat(proc.name, evt.type)": field.AtEvent, "concat(\"x\", proc.name)": field.AtExec, "join(\"x\", (evt.type, \"a\"))": field.AtLoad,
		"join(\"x\", (\"a\", toupper(\"b\"), proc.name))": field.AtExec,
	} {
		if o, err := field.Syscall.ParseOperand(text); err != nil || o.Stage != want {
			t.Errorf("%s is known at %v (%v), want %v", text, o.Stage, err, want)
		}
	}
}

func TestTransformErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"tolower(proc.pid)", "applies to texts"},
		{"tolower(proc.name, proc.name)", "takes 1 argument, not 2"},
		{"concat(proc.name)", "two or more texts"},
		{"concat(proc.name, (proc.name))", "no lists"},
		{"join(\",\")", "a separator and a list"},
		{"join(\",\", proc.pid)", "a separator and a list"},
		{"getopt(proc.args)", "a list of arguments"},
		{"getopt(proc.args, \"ab\")[ab]", "a list of arguments"},
		{"len(proc.pid)", "applies to texts and lists"},
		{"len(proc.name", "expected a ',' or ')'"},
		{"len(", "expected an argument"},
		{"len(\"x)", "closing quote"},
		{"tolower(proc.aname)", "cannot be used with a transformer"},
		{"join(\",\", (proc.name, proc.tty, fd.connected))", "item 3 of the list is neither a text nor a number"},
		{strings.Repeat("tolower(", 2000) + "proc.name", "nested more than"},
	} {
		_, err := field.Syscall.ParseOperand(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: %v, want an error with %q", tt.text, err, tt.want)
		}
	}
	if _, err := field.Transform("rot13", []field.Extractor{field.Literal("x")}, ""); err == nil {
		t.Error("a transformer that does not exist")
	}
	if _, err := field.Transform("len", []field.Extractor{field.Literal("x")}, "i"); err == nil {
		t.Error("an index for len")
	}
}
