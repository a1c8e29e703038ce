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

// unixEvent is a call on a unix socket with these names.
func unixEvent(t testing.TB, w *fieldtest.World, kind event.Kind, res int64, local, remote string, flags event.FileFlags) *field.Context {
	result := kind.Info().Params[0].Name
	f := event.FileInfo{Type: event.FDUnix, Flags: flags, SPort: uint16(len(local))}
	return w.Event(t, 14, kind, fieldtest.Num(result, res), fieldtest.File(f, local+"\x00"+remote))
}

func TestUnixSockets(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	const docker = "fd.name endswith /docker.sock"
	const connected = event.FileConnected
	for _, tt := range []struct {
		condition     string
		kind          event.Kind
		res           int64
		local, remote string
		flags         event.FileFlags
		want          bool
	}{
		{docker, event.KindConnect, 0, "", "/run/docker.sock", connected, true},
		{docker, event.KindConnect, 0, "", "/run/other.sock", connected, false},
		{docker, event.KindConnect, -111, "", "", 0, false},
		{docker, event.KindConnect, 0, "/run/docker.sock", "/run/other.sock", connected, false},
		{docker, event.KindBind, 0, "/run/docker.sock", "", 0, true},
		{docker, event.KindBind, 0, "/run/docker.sock/", "", 0, false},           // no path: the slash counts
		{docker, event.KindAccept4, 7, "/run/docker.sock", "", connected, false}, // there is an arrow behind it
		{"fd.name contains docker.sock", event.KindAccept4, 7, "/run/docker.sock", "", connected, true},
		{"fd.name = /run/docker.sock", event.KindConnect, 0, "", "/run/docker.sock", connected, false},
		{"fd.name = \"->/run/docker.sock\"", event.KindConnect, 0, "", "/run/docker.sock", connected, true},
		{"fd.name in (/run/a, /run/b)", event.KindListen, 0, "/run/b", "", 0, true},
		{"fd.name in (/run/a, /run/b)", event.KindListen, 0, "/run/c", "", 0, false},
		{"fd.nameraw = /run/a", event.KindListen, 0, "/run/a", "", 0, true},
		{"fd.nameraw = /run/a", event.KindListen, 0, "/run/c", "", 0, false},
		{"fd.name = \"\"", event.KindSendto, -107, "", "", 0, true},
		{"fd.name = \"\"", event.KindSendto, 1, "", "", connected, false},
		{"fd.name startswith @", event.KindSendto, 1, "@abstract", "/x", connected, true},
		{"fd.name startswith @", event.KindSendto, 1, "", "@abstract", connected, false},
		{"fd.name startswith @", event.KindSendto, 1, "/x", "", 0, false},
		{"fd.name contains //", event.KindBind, 0, "/tmp//x", "", 0, true}, // as it was given
		{"fd.name = /tmp/x", event.KindBind, 0, "/tmp//x", "", 0, false},
		{"fd.name = ./x", event.KindBind, 0, "./x", "", 0, true},
		{"fd.name glob *docker*", event.KindConnect, 0, "", "/run/docker.sock", connected, true},
		{"fd.name glob *docker*", event.KindConnect, 0, "", "/run/other.sock", connected, false},
		{"fd.name pmatch (/run)", event.KindConnect, 0, "", "/run/other.sock", connected, true}, // components, not text
		{"fd.name icontains DOCKER", event.KindConnect, 0, "", "/run/x", connected, true},
		{"not fd.name startswith \"->/run/\"", event.KindConnect, 0, "", "/run/x", connected, false},
		{"not fd.name startswith \"->/run/\"", event.KindConnect, 0, "", "/tmp/x", connected, true},
		{"fd.name != \"->/run/x\"", event.KindConnect, 0, "", "/run/x", connected, false},
		{docker + " and evt.failed=true", event.KindConnect, 0, "", "/run/docker.sock", connected, true}, // left to Sockets
		{docker + " and fd.connected=false", event.KindConnect, 0, "", "/run/docker.sock", connected, true},
		{docker + " and proc.name=b", event.KindConnect, 0, "", "/run/docker.sock", connected, false},
		{docker + " or proc.name=a", event.KindConnect, 0, "", "/run/x", connected, true},
		{docker + " or proc.name=b", event.KindConnect, 0, "", "/run/x", connected, false},
		{docker + " or fd.sport=22 or fd.sip=1.2.3.4", event.KindConnect, 0, "", "/run/x", connected, false}, // no addresses
		{docker + " or not fd.sport=22", event.KindConnect, 0, "", "/run/x", connected, true},
		{docker + " or fd.typechar=4", event.KindConnect, 0, "", "/run/x", connected, false},
		{docker + " or evt.arg.addr exists", event.KindConnect, 0, "", "/run/x", connected, true},
		{docker + " or evt.is_io=true", event.KindSendto, 1, "", "/run/x", connected, true},
		{"fd.typechar=u", event.KindSendto, 1, "", "/run/x", connected, true},
	} {
		condition := "evt.type=" + tt.kind.String() + " and (" + tt.condition + ")"
		list, ok := tryLoad(t, condition)
		if !ok {
			t.Errorf("%s is no condition", condition)
			continue
		}
		opens, err := NewOpens(list)
		if err != nil {
			t.Fatal(err)
		}
		c := unixEvent(t, w, tt.kind, tt.res, tt.local, tt.remote, tt.flags)
		if got := opens.NeededEvent(c.Event, "a"); got != tt.want {
			t.Errorf("%s: %s with result %d on %q to %q is needed: %v, want %v", tt.condition, tt.kind, tt.res, tt.local, tt.remote, got, tt.want)
		}
	}
}

// A name is read only where it can leave out calls of that kind and result.
func TestUnixNamesAreAskedFor(t *testing.T) {
	for condition, want := range map[string][2]bool{ // failed, succeeded
		"evt.type=connect and fd.name contains x":                                         {true, true},
		"evt.type=connect and fd.name contains x and evt.rawres >= 0":                     {false, true},
		"evt.type=connect and not fd.name contains x":                                     {true, true},
		"evt.type=connect and (fd.name contains x or proc.name=a)":                        {true, true},
		"evt.type=connect and (fd.name contains x or proc.pname=a)":                       {},
		"evt.type=connect and proc.name=a":                                                {},
		"evt.type=connect and fd.sport=22":                                                {},
		"evt.type=connect and fd.typechar=4 and fd.name contains :22":                     {},
		"evt.type=bind and fd.name contains x":                                            {},
		"evt.type=openat and fd.name=/x":                                                  {},
		"evt.type=connect and fd.name contains x and not fd.name contains y and fd.num>0": {true, true},
	} {
		opens, err := NewOpens(load(t, condition))
		if err != nil {
			t.Fatal(err)
		}
		var got [2]bool
		for result, needs := range opens.Calls[event.KindConnect] {
			got[result] = needs != alwaysSent
		}
		if got != want {
			t.Errorf("%s: names of failed and successful connects are read: %v, want %v", condition, got, want)
		}
	}
	// One rule that does not ask for the name is enough.
	opens, err := NewOpens(append(load(t, "evt.type=connect and fd.name=/x"), load(t, "evt.type=connect and proc.pname=a")...))
	if want := [2]uint64{alwaysSent, alwaysSent}; err != nil || opens.Calls[event.KindConnect] != want {
		t.Errorf("needs %#x, %v", opens.Calls[event.KindConnect], err)
	}
}

// Users get all calls that they ask for.
func TestUnixSocketsOfUsers(t *testing.T) {
	p := newPlan(t, Options{Custom: []string{"connect"}}, "evt.type=connect and fd.name=/x")
	if want := [2]uint64{alwaysSent, alwaysSent}; p.Opens.Calls[event.KindConnect] != want {
		t.Errorf("needs %#x", p.Opens.Calls[event.KindConnect])
	}
}

// Patterns on sockets for which the tables have no room leave those on files.
func TestUnixSocketsWithoutRoom(t *testing.T) {
	list := load(t, "evt.type=openat and fd.name=/x")
	for i := range 300 {
		list = append(list, load(t, fmt.Sprintf("evt.type=connect and fd.name contains %d/a/name/of/a/socket", i))...)
	}
	o, err := NewOpens(list)
	if err != nil {
		t.Fatal(err)
	}
	if o.Calls[event.KindConnect][1] != alwaysSent || o.Always != 0 || o.Calls[event.KindUnlinkat][1] == alwaysSent {
		t.Errorf("needs %#x of connect, %#x of unlinkat; opens %#x", o.Calls[event.KindConnect], o.Calls[event.KindUnlinkat], o.Always)
	}
}

// unixChecks are checks of the names of sockets, and of what else is known.
func unixChecks() (all []string) {
	for _, name := range []string{"fd.name", "fd.nameraw", "fd.filename", "fd.directory", "fs.path.name", "evt.arg.addr", "evt.arg.tuple", "evt.args"} {
		for _, check := range []string{
			" = /a/x", " = \"->/a/x\"", " = \"\"", " = \"->\"", " != /a/x", " startswith /a", " startswith \"->\"", " startswith @", " endswith x", " endswith /", " contains a",
			" contains //", " in (x, /a/x, @a)", " pmatch (/a)", " pmatch (\"->\")", " glob *x", " glob \"->/a/*\"", " glob [@-]*", " exists", " icontains X", " regex .*x",
		} {
			all = append(all, name+check)
		}
	}
	return append(all, "evt.failed = true", "evt.res = SUCCESS", "evt.rawres >= 0", "proc.name = a", "proc.name = b", "fd.typechar = u", "fd.typechar = 4", "fd.type in (ipv4, file)",
		"fd.connected = true", "fd.sip = 1.2.3.4", "fd.sport != 22", "fd.port exists", "fd.net in (0.0.0.0/0)", "fd.l4proto = tcp", "fd.sockfamily = unix", "fd.name_changed = true", "evt.is_syslog = true")
}

// A call that a condition is true of is needed, whatever the condition.
func TestUnixSocketsAreSound(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	compiler := filter.NewCompiler(field.Lookup)
	var all []string
	for _, check := range unixChecks() {
		if _, ok := tryLoad(t, "evt.type=connect and "+check); ok {
			all = append(all, check)
		}
	}
	if len(all) < 150 {
		t.Fatalf("%d checks", len(all))
	}
	left := 0
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(socketKinds).Draw(rt, "kind")
		rule := load(t, "evt.type="+kind.String()+" and ("+conditionsOver(all, 2).Draw(rt, "condition")+")")[0]
		matches, err := compiler.Compile(filter.Specialise(rule.Node, kind, 0))
		if err != nil {
			rt.Fatal(err)
		}
		opens := newPlan(t, Options{All: true}, rule.Condition).Opens
		for range 12 {
			name := rapid.SampledFrom([]string{"", "", "/a/x", "/a//x", "/a/x/", "x", "X", "@a", "@a\x00x", "@", "->", "->/a/x"})
			flags := rapid.SampledFrom([]event.FileFlags{0, event.FileConnected, event.FileListening, event.FileConnected | event.FileServer}).Draw(rt, "flags")
			res := rapid.SampledFrom([]int64{0, 3, -2}).Draw(rt, "res")
			c := unixEvent(t, w, kind, res, name.Draw(rt, "local"), name.Draw(rt, "remote"), flags)
			needed := opens.NeededEvent(c.Event, "a")
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
