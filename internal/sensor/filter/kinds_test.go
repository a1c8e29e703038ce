package filter

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

func id(t testing.TB, name string) event.ID {
	t.Helper()
	id, ok := event.SyscallByName(name)
	if !ok {
		t.Fatalf("no syscall %s", name)
	}
	return id
}

func TestKinds(t *testing.T) {
	tests := []struct {
		text string
		want []string // nil: not restricted
	}{
		{"evt.type = open", []string{"open"}},
		{"evt.type in (open, openat) and s.a = x", []string{"open", "openat"}},
		{"evt.type = open or evt.type = close", []string{"close", "open"}},
		{"evt.type = open and evt.type = close", []string{}},
		{"evt.type = open or s.a = x", nil},
		{"s.a = x", nil},
		{"not s.a = x", nil},
		{"evt.type exists", nil},
		{"not (evt.type != open)", []string{"open"}},
		{"not (evt.type != open and s.a = x)", nil},
		{"not (evt.type != open or s.a = x)", []string{"open"}},
		{"evt.num = 0", []string{}},
		{"evt.num = 0 or evt.type = open", []string{"open"}},
		{"not evt.num = 0", nil},
		{"evt.num > 0 and evt.type = open", []string{"open"}},
		{"not evt.num > 0", []string{}},
		{"evt.num > 5", nil},
		{"evt.type = swapon", []string{"swapon"}},
		{"evt.type in (swapon, swapoff, open)", []string{"open", "swapoff", "swapon"}},
		{"syscall.type = execve", []string{"execve"}},
		{"evt.type = page_fault", []string{}},
		{"evt.type startswith open", nil},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		_, _, restricted := Kinds(n)
		if restricted != (tt.want != nil) {
			t.Errorf("Kinds(%s): restricted = %v", tt.text, restricted)
		}
		if restricted && !slices.Equal(Names(n), tt.want) {
			t.Errorf("Kinds(%s) = %v, want %v", tt.text, Names(n), tt.want)
		}
	}
}

func TestKindsOfGenericSyscalls(t *testing.T) {
	n := mustParse(t, "evt.type in (swapon, open)")
	kinds, ids, _ := Kinds(n)
	if !kinds.Has(event.KindSyscall) || !ids.Has(id(t, "swapon")) || ids.Has(id(t, "swapoff")) {
		t.Errorf("kinds %v, ids %v", kinds, ids)
	}
	kinds, ids, _ = Kinds(&Not{Node: n})
	if !kinds.Has(event.KindSyscall) || ids.Has(id(t, "swapon")) || !ids.Has(id(t, "swapoff")) || kinds.Has(event.KindOpen) {
		t.Errorf("negated: kinds %v, ids %v", kinds, ids)
	}
	if kinds, _, _ := Kinds(mustParse(t, "evt.type = open")); kinds.Has(event.KindSyscall) {
		t.Error("open needs generic events")
	}
	if count(mustParse(t, "evt.type in (swapon, open)")) != 2 || count(mustParse(t, "s.a = x")) < 200 {
		t.Error("wrong counts")
	}
}

func TestSpecialise(t *testing.T) {
	tests := []struct{ text, name, want string }{
		{"evt.type = open and s.a = x", "open", "s.a = x"},
		{"evt.type = open and s.a = x", "close", "false"},
		{"evt.type in (open, openat) and s.a = x and n.i > 1", "openat", "(s.a = x and n.i > 1)"},
		{"not evt.type = open or s.a = x", "open", "s.a = x"},
		{"not evt.type = open or s.a = x", "close", "true"},
		{"(evt.type = connect or (evt.type = sendto and s.a = x)) and s.b = y", "sendto", "(s.a = x and s.b = y)"},
		{"(evt.type = connect or (evt.type = sendto and s.a = x)) and s.b = y", "connect", "s.b = y"},
		{"evt.num = 0 or s.a = x", "open", "s.a = x"},
		{"evt.num > 0 and s.a = x", "open", "s.a = x"},
		{"evt.dir = < and s.a = x", "open", "s.a = x"},
		{"evt.dir = > and s.a = x", "open", "false"},
		{"evt.type != swapon", "swapon", "false"},
		{"evt.type contains swap and s.a = x", "swapon", "s.a = x"},
		{"syscall.type exists", "open", "true"},
		{"syscall.type exists", "procexit", "false"},
		{"syscall.type != open", "procexit", "false"},
		{"evt.type = val(s.a)", "open", "evt.type = val(s.a)"},
		{"evt.type.is.open = 1 and s.a = x", "open", "s.a = x"},
		{"evt.type.is.open = 1 and s.a = x", "close", "false"},
		{"evt.type.is.open exists", "close", "true"},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		k, ok := event.KindByName(tt.name)
		var sys event.ID
		if !ok {
			k, sys = event.KindSyscall, id(t, tt.name)
		}
		if got := Specialise(n, k, sys).String(); got != tt.want {
			t.Errorf("Specialise(%s, %s) = %s, want %s", tt.text, tt.name, got, tt.want)
		}
	}
}

func TestProject(t *testing.T) {
	tests := []struct{ text, want string }{
		{"s.a = x", "true"},
		{"not s.a = x", "true"},
		{"p.name = x and s.a = y", "p.name = x"},
		{"not p.name = x and s.a = y", "not p.name = x"},
		{"p.name = x or s.a = y", "true"},
		{"not (p.name = x or s.a = y)", "not p.name = x"},
		{"not (p.name = x and s.a = y)", "true"},
		{"s.a = y and not (s.b = z and p.exe = w) and p.name in (a, b)", "p.name in (a, b)"},
		{"p.name = val(s.a)", "true"},
		{"p.name = val(p.exe) and s.a = x", "p.name = val(p.exe)"},
		{"evt.type = open and p.name = x", "p.name = x"},
		{"evt.num = 0 and p.name = x", "false"},
		{"unknown_macro_free.field = x", "true"},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		_ = Resolve(n, fakeLookup) // one has a field that does not exist
		if got := Project(n, field.AtExec).String(); got != tt.want {
			t.Errorf("Project(%s) = %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestWiden(t *testing.T) {
	tests := []struct{ text, want string }{
		{"evt.type = open", "evt.type in (open, creat, open_by_handle_at)"},
		{"evt.type in (open, openat, openat2) and s.a = x", "(evt.type in (open, openat, openat2, creat, open_by_handle_at) and s.a = x)"},
		{"evt.type in (open, creat)", "evt.type in (open, creat, open_by_handle_at)"},
		{"evt.type = execve", "evt.type in (execve, execveat)"},
		{"evt.type in (chmod, fchmodat)", "evt.type in (chmod, fchmodat, fchmodat2)"},
		{"syscall.type = openat", "syscall.type in (openat, creat, open_by_handle_at)"},
		{"evt.type = creat", "evt.type = creat"},
		{"evt.type = close", "evt.type = close"},
		// Negative forms read as Falco reads them.
		{"evt.type != open", "evt.type != open"},
		{"not evt.type = open", "not evt.type = open"},
		{"not evt.type in (open, openat)", "not evt.type in (open, openat)"},
		{"not (s.a = x and not evt.type = open)", "not (s.a = x and not evt.type in (open, creat, open_by_handle_at))"},
		{"evt.type startswith open", "evt.type startswith open"},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Widen(n).String(); got != tt.want {
			t.Errorf("Widen(%s) = %s, want %s", tt.text, got, tt.want)
		}
	}
}

// count is the number of kinds of events, each syscall without a kind of its
// own counting as one, that the condition can be true for.
func count(n Node) int {
	kinds, ids, _ := Kinds(n)
	total := 0
	for k := range event.Kind(event.NumKinds) {
		if k != event.KindSyscall && kinds.Has(k) {
			total++
		}
	}
	for id := range event.ID(event.NumSyscalls()) {
		if ids.Has(id) {
			total++
		}
	}
	return total
}
