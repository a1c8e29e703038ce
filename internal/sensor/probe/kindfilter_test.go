package probe

import (
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

var someRule = [2]uint64{0, 1 << 5}

// masked is the interest in a kind, for one rule that can match where ask is
// true.
func masked(kind event.Kind, ask func(event.CallFacts) bool) Interest {
	f := &KindFilter{Specials: map[event.Kind]Special{event.KindSocket: {Arg: 0, Mask: 0xffffffff, Value: unix.AF_PACKET}}}
	for facts := range event.NumCallFacts {
		if ask(facts) {
			f.Always[kind][facts] = someRule
		}
	}
	return Interest{Kinds: f}
}

// Tests each fact that the probe knows about any call: with masks in which a rule
// asks for every combination that has the fact, a call is sent if it holds.
func TestCallFacts(t *testing.T) {
	p := loadOwn(t)
	makeSocket := func(family, kind int) func() {
		return func() {
			if fd := raw(unix.SYS_SOCKET, family, kind, 0); fd >= 0 {
				unix.Close(int(fd))
			}
		}
	}
	const ok, special, host = event.CallSuccess, event.CallSpecial, event.CallHost
	groups := ownGroups(t, p)
	for _, tc := range []struct {
		name    string
		outer   bool // the process's groups are told to be the host's
		kind    event.Kind
		syscall string
		call    func()
		want    event.CallFacts
	}{
		{"a socket", false, event.KindSocket, "socket", makeSocket(unix.AF_INET, unix.SOCK_STREAM), ok},
		{"of the host", true, event.KindSocket, "socket", makeSocket(unix.AF_INET, unix.SOCK_STREAM), ok | host},
		{"a special one", false, event.KindSocket, "socket", makeSocket(unix.AF_PACKET, unix.SOCK_RAW), ok | special},
		{"a failure", true, event.KindSocket, "socket", makeSocket(unix.AF_INET, 77), host},
		{"without special ones", true, event.KindDup, "dup", func() { unix.Close(int(raw(unix.SYS_DUP, int(os.Stdout.Fd())))) }, ok | host},
		{"without a kind of its own", true, event.KindSyscall, "getpriority", func() { raw(unix.SYS_GETPRIORITY, 0, 0) }, ok | host},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := p.SetHost(groups, tc.outer); err != nil {
				t.Fatal(err)
			}
			sent := func(ask func(event.CallFacts) bool) bool {
				in := masked(tc.kind, ask)
				in.Syscalls = ids(tc.syscall)
				return len(traceInterest(t, p, in, tc.call).of(tc.kind, os.Getpid())) > 0
			}
			for _, fact := range []event.CallFacts{ok, special, host} {
				// Who is not known to be of the host may be: what is asked of the host
				// is asked of all.
				if got, want := sent(func(f event.CallFacts) bool { return f&fact != 0 }), tc.want&fact != 0; fact != host && got != want {
					t.Errorf("with fact %#x: sent %v, want %v", fact, got, want)
				}
				if got, want := sent(func(f event.CallFacts) bool { return f&fact == 0 }), tc.want&fact == 0; got != want {
					t.Errorf("without fact %#x: sent %v, want %v", fact, got, want)
				}
			}
		})
	}
}

// ownGroups are the control groups of this process, from the event of a child's
// exec.
func ownGroups(t *testing.T, p *Probe) []byte {
	t.Helper()
	var pid int
	tr := traceInterest(t, p, Interest{}, func() {
		cmd := exec.Command("/bin/true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		pid = cmd.Process.Pid
	})
	for _, e := range tr.of(event.KindExecve, pid) {
		if groups, ok := e.Bytes(e.Info().Slot("cgroup_set")); ok {
			return groups
		}
	}
	t.Fatal("no exec with groups")
	return nil
}

// Calls for which a rule asks by the name of the process, and those of sockets
// that another fact excludes for the same rule.
func TestMasksJoin(t *testing.T) {
	p := loadOwn(t)
	set, err := pathset.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	always := map[event.Kind]uint64{event.KindConnect: ^uint64(0)}
	for _, tc := range []struct {
		name    string
		names   map[string][2]uint64
		sockets [2]uint64
		want    bool
	}{
		{"its name", map[string][2]uint64{"bash": someRule}, someRule, true},
		{"another name", map[string][2]uint64{"zsh": someRule}, someRule, false},
		{"its name, for another rule", map[string][2]uint64{"bash": {1, 1}}, someRule, false},
		{"its name, but not such sockets", map[string][2]uint64{"bash": someRule}, [2]uint64{1, 1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := Interest{Syscalls: ids("connect"), Kinds: &KindFilter{Names: tc.names}, Opens: &OpenFilter{Paths: set}}
			for f := range event.NumCallFacts {
				in.Kinds.Named[event.KindConnect][f] = someRule
			}
			var sockets [event.NumSocketFacts][2]uint64
			for f := range sockets {
				sockets[f] = tc.sockets
			}
			in.Sockets = &SocketFilter{Always: always, Rules: map[event.Kind]*[event.NumSocketFacts][2]uint64{event.KindConnect: &sockets}}
			var pid int
			tr := traceInterest(t, p, in, func() {
				cmd := exec.Command("/bin/bash", "-c", "exec 3<>/dev/udp/127.0.0.1/9")
				if err := cmd.Run(); err != nil {
					t.Fatal(err)
				}
				pid = cmd.Process.Pid
			})
			if sent := len(tr.of(event.KindConnect, pid)) > 0; sent != tc.want {
				t.Errorf("sent %v, want %v", sent, tc.want)
			}
		})
	}
}

// The structures of the masks are the same in C and Go.
func TestMaskLayout(t *testing.T) {
	spec, err := readDirect()
	if err != nil {
		t.Fatal(err)
	}
	sameLayout(t, spec.Types, "special", specialArg{})
	sameLayout(t, spec.Types, "rule_needs", ruleNeeds{})
	sameLayout(t, spec.Types, "rule_masks", ruleMasks{})
	sameLayout(t, spec.Types, "needs", nameNeeds{})
	sameLayout(t, spec.Types, "port_rules", portRules{})
	sameLayout(t, spec.Types, "network_key", networkKey{})
	sameLayout(t, spec.Types, "open_filter", openFilter{})
	if filterOutput != pathset.Output {
		t.Errorf("an output is marked with %#x in C, %#x in Go", filterOutput, pathset.Output)
	}
	if key := (networkKey{}); networkBits != 8*(unsafe.Offsetof(key.IP)-unsafe.Sizeof(key.Len)) {
		t.Errorf("%d bits before an address", networkBits)
	}
}
