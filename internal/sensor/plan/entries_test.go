package plan

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestEntries(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	const history = "evt.type in (unlink, unlinkat, rename) and (evt.arg.name contains history or evt.arg.path endswith history or evt.arg.oldpath contains history)"
	const binaries = "evt.type in (mkdir, mkdirat) and evt.res=SUCCESS and evt.arg.path startswith /bin/"
	for _, tt := range []struct {
		condition string
		kind      event.Kind
		res       int64
		base      string
		paths     []string
		want      bool
	}{
		{history, event.KindUnlinkat, 0, "/root", []string{".bash_history"}, true},
		{history, event.KindUnlinkat, -2, "/root", []string{".bash_history"}, true},
		{history, event.KindUnlinkat, 0, "/root", []string{"x.o"}, false},
		{history, event.KindUnlinkat, 0, "/history", []string{"x.o"}, true},
		{history, event.KindUnlinkat, 0, "/root", []string{"a/x.o"}, true}, // a may be a link
		{history, event.KindUnlinkat, 0, "/root", []string{"/tmp/x.o"}, true},
		{history, event.KindUnlinkat, 0, "/root", []string{".."}, true},
		{history, event.KindUnlinkat, 0, "", []string{"x.o"}, true}, // the directory is not known
		{history, event.KindUnlink, 0, "/root", []string{"x.o"}, false},
		{history, event.KindRename, 0, "/root", []string{"x", "history"}, true}, // of any of its paths
		{history, event.KindRename, 0, "/root", []string{"x", "y"}, false},
		{history, event.KindRename, 0, "/root", []string{"x", "/y"}, true},
		{"evt.type=chmod and evt.arg.filename=/tmp/x", event.KindChmod, 0, "/tmp", []string{"y"}, true}, // y may be a link
		{binaries, event.KindMkdirat, 0, "/bin", []string{"x"}, true},
		{binaries, event.KindMkdirat, -17, "/bin", []string{"x"}, false},
		{binaries, event.KindMkdirat, 0, "/", []string{"bin"}, false},
		{binaries, event.KindMkdir, 0, "/tmp", []string{"x"}, false},
		{"evt.type=mkdir", event.KindMkdir, 0, "/tmp", []string{"x"}, true},
		{"evt.type=mkdir and proc.name=b", event.KindMkdir, 0, "/tmp", []string{"x"}, false},
		{"evt.type=mkdir and (proc.name=a or evt.arg.path=/x)", event.KindMkdir, 0, "/tmp", []string{"x"}, true},
		{"evt.type=mkdir and (proc.name=b or evt.arg.path=/x)", event.KindMkdir, 0, "/tmp", []string{"x"}, false},
		{"evt.type=mkdir and not evt.arg.path startswith /tmp", event.KindMkdir, 0, "/tmp", []string{"x"}, true},
		{"evt.type=unlinkat and fd.name=/tmp", event.KindUnlinkat, 0, "/tmp", []string{"x"}, true}, // the directory's
		{"evt.type=unlink and fs.path.name=/tmp/x", event.KindUnlink, 0, "/tmp", []string{"x"}, true},
		{"evt.type=unlink and fs.path.name=/tmp/x", event.KindUnlink, 0, "/tmp", []string{"y"}, false},
		{"evt.type=unlink and fs.path.nameraw=x", event.KindUnlink, 0, "/tmp", []string{"x"}, true},
		{"evt.type=linkat and fs.path.target=/a/x", event.KindLinkat, 0, "/a", []string{"x", "y"}, true},
		{"evt.type=linkat and fs.path.target=/a/x", event.KindLinkat, 0, "/a", []string{"y", "z"}, false},
	} {
		c := entryEvent(t, w, tt.kind, tt.res, tt.base, tt.paths)
		if got := newPlan(t, Options{}, tt.condition).Opens.NeededEvent(c.Event, "a"); got != tt.want {
			t.Errorf("%s: %s of %q in %q with result %d is needed: %v, want %v", tt.condition, tt.kind, tt.paths, tt.base, tt.res, got, tt.want)
		}
	}
}

// entryEvent is a call on entries of a directory; without a base, the directory
// is not known.
func entryEvent(t testing.TB, w *fieldtest.World, kind event.Kind, res int64, base string, paths []string) *field.Context {
	params := []fieldtest.Param{fieldtest.Num("res", res)}
	for i, name := range pathParams(kind) {
		params = append(params, fieldtest.Text(name, paths[i]))
		if base != "" && paths[i][0] != '/' {
			params = append(params, fieldtest.Text([]string{"base", "base2"}[i], base))
		}
	}
	return w.Event(t, 14, kind, params...)
}

// Users get all calls that they ask for.
func TestEntriesOfUsers(t *testing.T) {
	p := newPlan(t, Options{Custom: []string{"mkdir"}}, "evt.type=mkdir and evt.arg.path=/x")
	if want := [2]uint64{alwaysSent, alwaysSent}; p.Opens.Calls[event.KindMkdir] != want {
		t.Errorf("needs %#x", p.Opens.Calls[event.KindMkdir])
	}
}

// With more needs than the probe has bits for, opens go first.
func TestEntriesWithoutRoom(t *testing.T) {
	list := load(t, "evt.type=mkdir and evt.arg.path=/x")
	for i := range maxGroups {
		list = append(list, load(t, fmt.Sprintf("evt.type=openat and fd.name startswith /%d/ and fd.name endswith x%d", i, i))...)
	}
	o, err := NewOpens(list)
	if err != nil {
		t.Fatal(err)
	}
	if o.Calls[event.KindMkdir][1] != alwaysSent || o.Always != 0 {
		t.Errorf("needs %#x of mkdir; opens %#x", o.Calls[event.KindMkdir], o.Always)
	}
}

// entryChecks are checks of the paths of such calls, and of what else is known.
func entryChecks() (all []string) {
	for _, name := range []string{
		"evt.arg.path", "evt.arg.name", "evt.arg.oldpath", "evt.arg.newpath", "evt.arg.filename", "evt.arg.pathname", "fs.path.name", "fs.path.source", "fs.path.target", "fs.path.nameraw",
		"fs.path.sourceraw", "evt.abspath", "fd.name", "fd.filename", "fd.directory", "evt.arg[1]", "evt.args", "evt.rawarg.path",
	} {
		for _, check := range []string{
			" = /a/x", " = x", " != /a/x", " startswith /a", " startswith x", " endswith x", " endswith /x", " contains a", " contains /", " in (x, /a/y)",
			" pmatch (/a)", " pmatch (x)", " glob *x", " glob /a/*", " exists", " icontains X",
		} {
			all = append(all, name+check)
		}
	}
	return append(all, "evt.failed = true", "evt.res = SUCCESS", "evt.rawres >= 0", "proc.name = a", "proc.name = b")
}

// A call that a condition is true of is needed, whatever the condition.
func TestEntriesAreSound(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	compiler := filter.NewCompiler(field.Lookup)
	var all []string
	for _, check := range entryChecks() {
		if _, ok := tryLoad(t, "evt.type=mkdir and "+check); ok {
			all = append(all, check)
		}
	}
	if len(all) < 200 {
		t.Fatalf("%d checks", len(all))
	}
	left := 0
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(pathKinds).Draw(rt, "kind")
		rule := load(t, "evt.type="+kind.String()+" and ("+conditionsOver(all, 2).Draw(rt, "condition")+")")[0]
		matches, err := compiler.Compile(filter.Specialise(rule.Node, kind, 0))
		if err != nil {
			rt.Fatal(err)
		}
		opens := newPlan(t, Options{}, rule.Condition).Opens
		for range 12 {
			path := rapid.SampledFrom([]string{"x", "y", "X", "..", "a", "xy", "sub/x", "/a/x", "/a/./x"})
			base := rapid.SampledFrom([]string{"/a", "/", "/a/b", "/x", ""}).Draw(rt, "base")
			res := rapid.SampledFrom([]int64{0, -2}).Draw(rt, "res")
			c := entryEvent(t, w, kind, res, base, []string{path.Draw(rt, "path"), path.Draw(rt, "second path")})
			needed := opens.neededCall(c.Event, "a")
			if matches(c) && !needed {
				rt.Fatalf("%s is true of a %s that is left out", rule.Condition, kind)
			}
			if !needed {
				left++
			}
		}
	})
	if left == 0 {
		t.Error("no call was ever left out")
	}
}
