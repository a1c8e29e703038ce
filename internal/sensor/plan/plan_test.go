package plan

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func load(t *testing.T, conditions ...string) []*rules.Rule {
	t.Helper()
	list, ok := tryLoad(t, conditions...)
	if !ok {
		t.Fatalf("conditions %q are not sound", conditions)
	}
	return list
}

func tryLoad(t *testing.T, conditions ...string) ([]*rules.Rule, bool) {
	t.Helper()
	var text string
	for i, c := range conditions {
		text += "- rule: R" + string(rune('0'+i)) + "\n  desc: d\n  output: o\n  priority: INFO\n  condition: " + c + "\n"
	}
	set, report := rules.Load([]rules.Source{{Name: "test.yaml", Content: []byte(text)}}, rules.Options{Lookup: field.Lookup})
	if set == nil {
		t.Log(report.Err())
		return nil, false
	}
	return set.Enabled(alert.Debug), true
}

func newPlan(t *testing.T, opts Options, conditions ...string) *Plan {
	t.Helper()
	opts.Lookup = field.Lookup
	p, err := New(load(t, conditions...), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(ids []event.ID) (list []string) {
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}

func TestInterest(t *testing.T) {
	state := names(newPlan(t, Options{}).Interest)
	for _, want := range []string{"execve", "chdir", "setsid", "unshare"} {
		if !slices.Contains(state, want) {
			t.Errorf("the process table needs %s: %q", want, state)
		}
	}
	if slices.Contains(state, "openat") || slices.Contains(state, "close") {
		t.Errorf("nobody needs opens: %q", state)
	}
	tests := []struct {
		name      string
		opts      Options
		condition string
		has, not  []string
	}{
		{"a kind", Options{}, "evt.type=openat", []string{"openat", "creat", "open_by_handle_at"}, []string{"open", "close"}},
		{"several syscalls of a kind", Options{}, "evt.type=setuid", []string{"setuid", "setuid32"}, nil},
		{"a syscall without a kind", Options{}, "evt.type=swapon", []string{"swapon"}, []string{"swapoff"}},
		{"high volume", Options{}, "evt.type=read", nil, []string{"read"}},
		{"high volume, all", Options{All: true}, "evt.type=read", []string{"read"}, []string{"write"}},
		{"custom", Options{Custom: []string{"mkdir", "!chdir"}}, "evt.type=openat", []string{"mkdir", "openat"}, []string{"chdir"}},
		{"custom and high volume", Options{Custom: []string{"read", "mkdir"}}, "evt.type=openat", []string{"mkdir"}, []string{"read"}},
		{"custom and high volume, all", Options{Custom: []string{"read"}, All: true}, "evt.type=openat", []string{"read"}, []string{"write"}},
		{"never", Options{}, "evt.type=openat and evt.num=0", nil, []string{"openat"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := names(newPlan(t, tt.opts, tt.condition).Interest)
			for _, want := range tt.has {
				if !slices.Contains(got, want) {
					t.Errorf("%s is missing in %q", want, got)
				}
			}
			for _, not := range tt.not {
				if slices.Contains(got, not) {
					t.Errorf("%s is in %q", not, got)
				}
			}
		})
	}
}

// Descriptors are looked at before they are closed only for rules that can see
// them, as exits of threads are.
func TestAskedForLooks(t *testing.T) {
	for _, tt := range []struct {
		condition     string
		closed, exits bool
	}{
		{"evt.type=close", true, false},
		{"evt.type in (open, close) and fd.name=/x", true, false},
		{"evt.type in (open, openat) and fd.name=/x", false, false},
		{"fd.name=/x", true, true},
		{"proc.name=x", false, true},
		{"evt.type=procexit", false, true},
	} {
		p := newPlan(t, Options{}, tt.condition)
		if p.ClosedFiles != tt.closed || p.ThreadExits != tt.exits {
			t.Errorf("%s: closed files %v, thread exits %v; want %v, %v", tt.condition, p.ClosedFiles, p.ThreadExits, tt.closed, tt.exits)
		}
	}
}

// Open descriptors are looked at for the kinds of events of the rules that ask.
func TestAskedForOpenFDs(t *testing.T) {
	for _, tt := range []struct {
		conditions []string
		want       map[event.Kind]bool
	}{
		{[]string{"evt.type=execve and proc.stdin.type=ipv4", "evt.type=openat and fd.name=/x"}, map[event.Kind]bool{event.KindExecve: true, event.KindOpenat: false}},
		{[]string{"evt.type in (dup, swapon) and fd.types intersects (ipv4)"}, map[event.Kind]bool{event.KindDup: true, event.KindSyscall: true, event.KindDup2: false}},
		{[]string{"evt.type=dup and fd.types[1] in (ipv4)", "evt.type=dup2 and proc.stderr.type=pipe"}, map[event.Kind]bool{event.KindDup: true, event.KindDup2: true, event.KindDup3: false}},
		{[]string{"proc.stdout.type=pipe"}, map[event.Kind]bool{event.KindExecve: true, event.KindOpenat: true, event.KindDup: true}},
		{[]string{"evt.type=openat and fd.type=file"}, map[event.Kind]bool{event.KindOpenat: false}},
	} {
		p := newPlan(t, Options{}, tt.conditions...)
		for k, want := range tt.want {
			if p.OpenFDs.Has(k) != want {
				t.Errorf("%q: at %v %v, want %v", tt.conditions, k, !want, want)
			}
		}
	}
}

func TestProgramsAndOrder(t *testing.T) {
	p := newPlan(t, Options{}, "proc.name=x", "evt.type=openat and fd.name=/x", "evt.type in (swapon, connect)")
	if got := []string{p.Rules[0].Name, p.Rules[1].Name, p.Rules[2].Name}; !slices.Equal(got, []string{"R1", "R2", "R0"}) {
		t.Errorf("order %q: rules on kinds come first", got)
	}
	swapon, _ := event.SyscallByName("swapon")
	swapoff, _ := event.SyscallByName("swapoff")
	tests := []struct {
		kind event.Kind
		id   event.ID
		want []bool
	}{
		{event.KindOpenat, 0, []bool{true, false, true}},
		{event.KindConnect, 0, []bool{false, true, true}},
		{event.KindSyscall, swapon, []bool{false, true, true}},
		{event.KindSyscall, swapoff, []bool{false, false, true}},
	}
	for _, tt := range tests {
		prog := p.Program(tt.kind, tt.id)
		for i, want := range tt.want {
			if got := prog.Mask.Has(i); got != want || (prog.Conditions[i] != nil) != want {
				t.Errorf("%s: rule %d: %v, want %v", tt.kind, i, got, want)
			}
		}
	}
	if p.Process[0] != nil || p.Process[2] == nil {
		t.Error("only a condition about the process can be projected onto it")
	}
}

func TestNoProgramForWhatCannotMatch(t *testing.T) {
	p := newPlan(t, Options{}, "evt.type=openat and not evt.type in (openat, open)")
	if p.Program(event.KindOpenat, 0) != nil {
		t.Error("a program for a condition that is false for every event of the kind")
	}
}

func TestMask(t *testing.T) {
	m := make(Mask, 2)
	if !m.Empty() {
		t.Error("not empty")
	}
	m.Set(70)
	if m.Empty() || !m.Has(70) || m.Has(6) {
		t.Errorf("mask %v", m)
	}
}

// The need of each operator on a path, and cases without one.
func TestOpensNeeded(t *testing.T) {
	const ok = event.FactRead | event.FactSuccess
	tests := []struct {
		condition string
		facts     event.OpenFacts
		comm      string
		paths     map[string]bool
	}{
		{"evt.type=openat and fd.name=/etc/shadow", ok, "", map[string]bool{
			"/etc/shadow": true, "/etc/shadow2": false, "/x": false, "shadow": false,
			"/etc//shadow": true, "/etc/./shadow": true, "/x/../etc/shadow": true, "/x/..": true, "/x/.": true, "/x/": false, "/etc/shadow/": true,
		}},
		{"evt.type=openat and fd.name in (/a, /b)", ok, "", map[string]bool{"/a": true, "/b": true, "/c": false}},
		{"evt.type=openat and fd.name startswith /etc", ok, "", map[string]bool{"/etc/x": true, "/usr": false}},
		{"evt.type=openat and fd.name endswith .key", ok, "", map[string]bool{"/a.key": true, "/a.keys": false}},
		{"evt.type=openat and fd.name contains ssh", ok, "", map[string]bool{"/a/ssh/b": true, "/a": false}},
		{"evt.type=openat and fd.name glob /home/*/x", ok, "", map[string]bool{"/home/b": false, "/home/b/x": true, "/home/x": true, "/root/x": false}},
		{"evt.type=openat and fd.nameraw pmatch (/etc)", ok, "", map[string]bool{"/etc/x": true, "etc/x": true}},
		{"evt.type=openat and proc.name=<NA>", ok, "cat", map[string]bool{"/x": true}},
		{"evt.type=openat and fd.name pmatch (/etc/, /usr)", ok, "", map[string]bool{"/etc": true, "/usr/x": true, "/x": false}},
		{"evt.type=openat and fd.directory=/dev", ok, "", map[string]bool{"/dev/x": true, "/x/dev": false}},
		{"evt.type=openat and fd.filename=.bashrc", ok, "", map[string]bool{"/a/.bashrc": true, "/.bashrc/a": false}},
		{"evt.type=openat and fd.directory=/", ok, "", map[string]bool{"/x": true, "/x/": true, "/x/y": false, "/x/y/": false}},
		{"evt.type=openat and fd.name startswith /root and fd.name contains .ssh", ok, "", map[string]bool{
			"/root/.ssh/x": true, "/root/x": false, "/home/a/.ssh": false, "/root/a/b.ssh/": true, "/root/../x": true,
		}},
		{"evt.type=openat and (fd.name startswith /a or fd.name startswith /b) and (fd.name endswith y or proc.name=tar)", ok, "tar",
			map[string]bool{"/a": true, "/by": true, "/cy": false}},
		{"evt.type=openat and (fd.name startswith /a or fd.name startswith /b) and (fd.name endswith y or proc.name=tar)", ok, "cat",
			map[string]bool{"/a": false, "/by": true, "/cy": false}},
		{"evt.type=openat and (fd.name startswith /a and fd.name contains b or fd.name startswith /c and fd.name contains d)", ok, "",
			map[string]bool{"/ab": true, "/cd": true, "/ac": false, "/b": false, "/x": false}},
		{"evt.type=openat and fd.name startswith /a and fd.name contains b and fd.name contains c and fd.name contains d and fd.name endswith e", ok, "",
			map[string]bool{"/abcde": true, "/abcd": true, "/acde": false}}, // four are looked at
		{"evt.type=openat and not (fd.name!=/x or evt.is_open_write=true)", ok, "", map[string]bool{"/x": true, "/y": true}},
		{"evt.type=openat and fd.name glob /proc/*/fd/?", ok, "", map[string]bool{"/proc/1/fd/3": true, "/proc/fd": false, "/proc/1/stat": false}},
		{"evt.type=openat and fd.name icontains SSH", ok, "", map[string]bool{"/x": true}},
		{"evt.type=openat and not fd.name=/x", ok, "", map[string]bool{"/x": false, "/y": true, "/x/": true, "/.": true}},
		{"evt.type=openat and evt.is_open_write=true and fd.name=/x", ok, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.is_open_write=true and fd.name=/x", event.FactWrite | event.FactSuccess, "", map[string]bool{"/x": true}},
		{"evt.type=openat and fd.num>=0 and fd.name=/x", event.FactRead, "", map[string]bool{"/x": false}},
		{"evt.type=openat and fd.num=-1 and fd.name=/x", event.FactRead, "", map[string]bool{"/x": true}},
		{"evt.type=openat and fd.num=-1 and fd.name=/x", ok, "", map[string]bool{"/x": false}},
		{"evt.type=openat and fd.typechar=f and fd.name=/x", ok | event.FactDirectory, "", map[string]bool{"/x": false}},
		{"evt.type=openat and fd.typechar=d and fd.name=/x", ok, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.arg.flags contains O_TRUNC and fd.name=/x", ok, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.arg.flags contains O_TRUNC and fd.name=/x", ok | event.FactTruncate, "", map[string]bool{"/x": true}},
		{"evt.type=openat and evt.rawarg.mode >= 1024", ok | event.FactCreate, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.rawarg.mode > 1023", ok | event.FactCreate, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.rawarg.mode >= 1024", ok | event.FactDirectory, "", map[string]bool{"/x": false}},
		{"evt.type=openat and evt.rawarg.mode >= 1024", ok | event.FactCreate | event.FactDirectory, "", map[string]bool{"/x": true}},
		{"evt.type=openat and evt.rawarg.mode >= 512", ok | event.FactCreate, "", map[string]bool{"/x": true}},
		{"evt.type=openat and fd.typechar=f and fd.name=/x", ok | event.FactCreate | event.FactDirectory, "", map[string]bool{"/x": true}},
		{"evt.type=openat and evt.res=SUCCESS and fd.name=/x", event.FactRead, "", map[string]bool{"/x": false}},
		{"evt.type=openat and proc.name=tar", ok, "tar", map[string]bool{"/x": true}},
		{"evt.type=openat and proc.name=tar", ok, "cat", map[string]bool{"/x": false}},
		{"evt.type=openat and (fd.name=/x or proc.name=tar)", ok, "tar", map[string]bool{"/y": true}},
		{"evt.type=openat and proc.name startswith ta", ok, "x", map[string]bool{"/x": true}},
	}
	for _, tt := range tests {
		opens, err := NewOpens(load(t, tt.condition))
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range tt.paths {
			if got := opens.needed(tt.facts, tt.comm, opens.Paths.Match(path)); got != want {
				t.Errorf("%s: facts %b, %q by %q: needed %v, want %v", tt.condition, tt.facts, path, tt.comm, got, want)
			}
		}
	}
}
