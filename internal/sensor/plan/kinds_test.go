package plan

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestKinds(t *testing.T) {
	const ok, special, host = event.CallSuccess, event.CallSpecial, event.CallHost
	const packet = "evt.type=socket and container.id != host and evt.arg.domain contains AF_PACKET"
	const user = "evt.type in (clone, clone3) and evt.rawres != 0 and evt.arg.flags contains CLONE_NEWUSER"
	for _, tt := range []struct {
		condition string
		kind      event.Kind
		facts     event.CallFacts
		name      string
		want      bool
	}{
		{packet, event.KindSocket, ok, "", false},
		{packet, event.KindSocket, ok | special, "", true},
		{packet, event.KindSocket, ok | special | host, "", false},
		{packet, event.KindClone, ok | host, "", true}, // asked for by nobody but the user
		{user, event.KindClone, ok, "", false},
		{user, event.KindClone, ok | special | host, "", true},
		{user, event.KindClone3, ok | host, "", true},
		{"evt.type=bpf and evt.arg.cmd=BPF_PROG_LOAD", event.KindBpf, ok, "", false},
		{"evt.type=bpf and evt.arg.cmd=BPF_PROG_LOAD", event.KindBpf, ok | special, "", true},
		{"evt.type=bpf and evt.arg.cmd!=BPF_PROG_LOAD", event.KindBpf, ok, "", true},
		{"evt.type=prlimit and container.id!=host", event.KindPrlimit, ok | host, "", true}, // the process table learns from it
		{"evt.type=dup2 and proc.name=<NA>", event.KindDup2, ok, "cat", true},
		{"evt.type=dup2 and not container.id=host", event.KindDup2, ok, "", true},
		{"evt.type=dup2 and not container.id=host", event.KindDup2, ok | host, "", false},
		{"evt.type=dup2 and container.id=host", event.KindDup2, ok | host, "", true},
		{"evt.type=dup2 and container.image.repository=x", event.KindDup2, ok | host, "", false},
		{"evt.type=dup2 and k8s.pod.label[app]=x", event.KindDup2, ok | host, "", false},
		{"evt.type=dup2 and container.id startswith ho", event.KindDup2, ok | host, "", true},
		{"evt.type=dup2 and evt.failed=true", event.KindDup2, ok, "", false},
		{"evt.type=dup2 and evt.failed=true", event.KindDup2, 0, "", true},
		{"evt.type=dup2 and evt.rawres>=0", event.KindDup2, 0, "", false},
		{"evt.type=getuid and not evt.rawres>=0", event.KindGetuid, ok, "", true}, // its result is an id
		{"evt.type=dup2 and proc.name in (a, b)", event.KindDup2, ok, "a", true},
		{"evt.type=dup2 and proc.name in (a, b)", event.KindDup2, ok, "c", false},
		{"evt.type=dup2 and (container.id!=host or proc.name=a)", event.KindDup2, ok | host, "b", false},
		{"evt.type=dup2 and (container.id!=host or proc.name=a)", event.KindDup2, ok | host, "a", true},
		{"evt.type=chdir and container.id!=host", event.KindChdir, ok | host, "", false},  // the next event tells the process table
		{"evt.type=setsid and container.id!=host", event.KindSetsid, ok | host, "", true}, // for the process table
		{"evt.type=chdir and container.id!=host", event.KindChdir, host, "", false},
		{"evt.type=chdir and container.id!=host", event.KindChdir, 0, "", true},
		{"evt.type=dup2", event.KindFchdir, ok | host, "", false},
		{"evt.type=dup2", event.KindSetsid, host, "", false}, // for the process table alone, which learns from success
		{"evt.type=execve and container.id!=host", event.KindExecve, ok | host, "", true},
		{"evt.type=execve and container.id!=host", event.KindExecve, host, "", false},
		{"evt.type=execve and proc.name=a", event.KindExecve, host, "b", false},
		{"evt.type=close and container.id!=host", event.KindClose, ok | host, "", true},
		{"evt.type=swapon and container.id!=host", event.KindSyscall, ok | host, "", false},
		{"evt.type=swapon and container.id!=host", event.KindSyscall, ok, "", true},
	} {
		if got := !newPlan(t, Options{}, tt.condition).Kinds.rules(tt.kind, tt.facts, tt.name).Empty(); got != tt.want {
			t.Errorf("%s: %s with facts %#x by %q is needed: %v, want %v", tt.condition, tt.kind, tt.facts, tt.name, got, tt.want)
		}
	}
}

// Users get the syscalls that they ask for, whatever rules ask of the same kind.
func TestKindsOfUsers(t *testing.T) {
	for custom, rule := range map[string]string{
		"dup2":    "evt.type=dup2 and container.id!=host",
		"swapoff": "evt.type=swapon and container.id!=host", // both are of the kind of syscalls without parameters
	} {
		id, _ := event.SyscallByName(custom)
		for _, asked := range []bool{true, false} {
			got := !newPlan(t, asksFor(custom, asked), rule).Kinds.rules(id.Kind(), event.CallSuccess|event.CallHost, "").Empty()
			if got != asked {
				t.Errorf("custom_set asks for %s: %v, sent: %v", custom, asked, got)
			}
		}
	}
}

// asksFor are options in which the user asks for a syscall, or excludes it.
func asksFor(custom string, asked bool) Options {
	if !asked {
		custom = "!" + custom
	}
	return Options{Custom: []string{"!chdir", custom}}
}

// No stage behind that of all kinds leaves out what users ask for.
func TestStagesOfUsers(t *testing.T) {
	for _, asked := range []bool{true, false} {
		sockets := newPlan(t, asksFor("connect", asked), "evt.type in (connect, sendto) and fd.l4proto=tcp and fd.sip=1.2.3.4").Sockets
		for kind, want := range map[event.Kind]bool{event.KindConnect: asked, event.KindSendto: false} {
			if got := sockets.needed(kind, event.SocketUdp, "a"); got != want {
				t.Errorf("custom_set asks for connect: %v, that of the %s by its socket: %v", asked, kind, got)
			}
			if got := Bits(sockets.Rules[kind][event.SocketUdp]).Has(NoRule); got != want {
				t.Errorf("custom_set asks for connect: %v, a %s is needed for no rule's sake: %v", asked, kind, got)
			}
		}
		opens := newPlan(t, asksFor("openat", asked), "evt.type=openat and fd.name=/x and evt.is_open_write=true").Opens
		for _, facts := range []event.OpenFacts{event.FactSuccess | event.FactRead, event.FactWrite} { // without and with needs
			if got := opens.needed(facts, "a", opens.Paths.Match("/y")); got != asked {
				t.Errorf("custom_set asks for openat: %v, that with facts %#x is needed: %v", asked, facts, got)
			}
		}
	}
}

// One rule excludes a call by a fact of all kinds, the other by one of sockets:
// no rule is left that both sets have, so the call is not needed.
func TestKindsJoinSockets(t *testing.T) {
	p := newPlan(t, Options{},
		"evt.type=connect and container.id!=host and fd.sip=1.2.3.4",
		"evt.type=connect and fd.l4proto=udp and fd.sport=53")
	for _, tt := range []struct {
		facts  event.CallFacts
		socket event.SocketFacts
		want   bool
	}{{event.CallHost, event.SocketTcp, false}, {0, event.SocketTcp, true}, {event.CallHost, event.SocketUdp, true}} {
		both := p.Kinds.rules(event.KindConnect, tt.facts, "").And(p.Sockets.Rules[event.KindConnect][tt.socket])
		if got := !both.Empty(); got != tt.want {
			t.Errorf("facts %#x, of the socket %#x: needed %v, want %v", tt.facts, tt.socket, got, tt.want)
		}
	}
}

// Checks on containers read nothing else of a process of the host.
func TestHostChecks(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a", UID: 5, PIDNSStart: 1e9, CWD: "/x", TTY: 9, Env: []string{"a=b"}, Argv: []string{"a", "b"}})
	compiler := filter.NewCompiler(field.Lookup).Forgetful()
	n := 0
	for _, f := range field.All() {
		if !ofContainer(f.Name) {
			continue
		}
		name := f.Name
		if f.Arg == field.ArgRequired {
			name += "[app]"
		}
		for _, text := range []string{" exists", " = host", " != host", " contains o"} {
			condition := name + text
			list, ok := tryLoad(t, "evt.type=dup2 and "+condition)
			if !ok {
				continue // not text
			}
			n++
			var check *filter.Check
			filter.Walk(filter.Specialise(list[0].Node, event.KindDup2, 0), func(n filter.Node) {
				if c, ok := n.(*filter.Check); ok {
					check = c
				}
			})
			if check == nil {
				continue // never set
			}
			compiled, err := compiler.Compile(check)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := hostChecks{}.decide(check)
			if want := compiled(w.Event(t, 14, event.KindDup2)); got != want {
				t.Errorf("%s is %v of a process of the host, decided as %v", condition, want, got)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d checks", n)
	}
}

// A call that a condition is true of is needed, whatever the condition.
func TestKindsAreSound(t *testing.T) {
	id := strings.Repeat("ab", 32)
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"}, fieldtest.Proc{PID: 15, Comm: "a", Cgroups: []string{"memory=/docker/" + id}})
	compiler := filter.NewCompiler(field.Lookup)
	var kinds []event.Kind
	for k := range event.Kind(event.NumKinds) {
		if k.Info().Origin == event.Syscall && k != event.KindSyscall {
			kinds = append(kinds, k)
		}
	}
	all := slices.Concat(checks(), []string{
		"container.id = host", "container.id != host", "container.type = docker", "container.name exists", "container.duration > 0",
		"evt.arg.flags contains CLONE_NEWUSER", "evt.arg.domain contains AF_PACKET", "evt.arg.domain = AF_PACKET", "evt.arg.cmd = BPF_PROG_LOAD", "evt.arg.cmd != BPF_PROG_LOAD", "evt.arg.flags = CLONE_NEWUSER", "evt.arg.fd = 7",
	})
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
		if rapid.Bool().Draw(rt, "with a special argument") {
			kind = rapid.SampledFrom([]event.Kind{event.KindClone, event.KindSocket, event.KindBpf}).Draw(rt, "special kind")
		}
		rule := load(t, "evt.type="+kind.String()+" and ("+conditionsOver(all, 2).Draw(rt, "condition")+")")[0]
		matches, err := compiler.Compile(filter.Specialise(rule.Node, kind, 0))
		if err != nil {
			rt.Fatal(err)
		}
		k := newPlan(t, Options{All: true}, rule.Condition).Kinds
		alone, err := NewAlone(rule)
		if err != nil {
			rt.Fatal(err)
		}
		for range 8 {
			res := rapid.SampledFrom([]int64{0, 7, -11, -115}).Draw(rt, "res")
			pid := rapid.SampledFrom([]int{14, 15}).Draw(rt, "pid")
			special := rapid.Bool().Draw(rt, "special")
			var facts event.CallFacts
			if res >= 0 {
				facts |= event.CallSuccess
			}
			if pid == 14 {
				facts |= event.CallHost
			}
			var params []fieldtest.Param
			if info := kind.Info(); len(info.Params) > 0 && tellsResult(kind) {
				params = append(params, fieldtest.Num(info.Params[0].Name, res))
			}
			switch {
			case kind == event.KindClone && special:
				params = append(params, fieldtest.Num("flags", 0x100000))
			case kind == event.KindSocket && special:
				params = append(params, fieldtest.Num("domain", 17))
			case kind == event.KindBpf && special:
				params = append(params, fieldtest.Num("cmd", 5))
			}
			if _, has := specials[kind]; has && special {
				facts |= event.CallSpecial
			}
			c := w.Event(t, pid, kind, params...)
			if !matches(c) {
				continue
			}
			if k.rules(kind, facts, "a").Empty() {
				rt.Fatalf("%s is true of a %s that is left out by facts %#x", rule.Condition, kind, facts)
			}
			if !alone.Sends(c.Event, c.Proc) {
				rt.Fatalf("%s is true of a %s that is not told to be sent, with facts %#x", rule.Condition, kind, facts)
			}
		}
	})
}
