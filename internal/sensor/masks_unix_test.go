package sensor

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

var (
	unixSeed   = flag.Uint64("unix-seed", 0, "of TestUnixMasksOnAndOff; 0: another each time")
	unixRounds = flag.Int("unix-rounds", 40, "sets of rules that TestUnixMasksOnAndOff tries")
)

// Random rules about the names of unix sockets have the same alerts of random calls
// whether the kernel masks what they cannot match or not.
func TestUnixMasksOnAndOff(t *testing.T) {
	seed := cmp.Or(*unixSeed, rand.Uint64())
	t.Logf("-unix-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	programs := callDir(t)
	first := ruleSet(t, unixRule(r, "/"))
	masksOnAndOff(t, *unixRounds, first, func(name string) ([]*rules.Rule, *exec.Cmd) {
		dir := callDir(t)
		list := ruleSet(t, unixRule(r, dir), unixRule(r, dir), unixRule(r, dir))
		return list, exec.Command(filepath.Join(programs, name), actArg, "unix", dir, fmt.Sprint(r.Uint64()), "600")
	})
}

// unixRule draws the condition of a rule about unix sockets.
func unixRule(r *rand.Rand, dir string) string {
	kinds := []string{
		"connect", "accept4", "bind", "listen", "shutdown", "setsockopt", "getsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "socketpair", "connect", "bind",
	}
	var some []string
	for range 1 + r.IntN(5) {
		some = append(some, kinds[r.IntN(len(kinds))])
	}
	return "evt.type in (" + strings.Join(some, ", ") + ") and " + unixCondition(r, dir, 2)
}

func unixCondition(r *rand.Rand, dir string, depth int) string {
	if depth > 0 {
		a, b := unixCondition(r, dir, depth-1), unixCondition(r, dir, depth-1)
		switch r.IntN(6) {
		case 0:
			return "(" + a + " or " + b + ")"
		case 1:
			return "(not " + a + " and " + b + ")"
		case 2:
			return "not " + a
		case 3, 4:
			return "(" + a + " and " + b + ")"
		}
		return a
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	socket := func() string {
		name := pick("docker.sock", "./docker.sock", dir+"/docker.sock", "x.sock", "sub//x.sock", "@abstract", "@docker.sock", "@a", "@", "", fullName)
		return `"` + pick("", "->") + name + pick("", "", "->", "->"+name) + `"`
	}
	name := pick("fd.name", "fd.name", "fd.name", "fd.name", "fd.nameraw", "evt.arg.addr", "fd.filename")
	switch r.IntN(9) {
	case 0:
		return pick("evt.failed=true", "evt.rawres>=0", "fd.typechar=u", "fd.typechar=4", "fd.connected=true", "proc.name=reader", "fd.sport=22", "fd.sip exists", "evt.is_syslog=true", "fd.sockfamily=unix")
	case 1:
		return name + pick(" = ", " != ") + socket()
	case 2:
		return name + " in (" + socket() + ", " + socket() + ")"
	case 3:
		return name + " startswith " + pick(dir, `"->`+dir+`"`, `"->"`, "@", "x", "./")
	case 4:
		return name + " endswith " + pick("docker.sock", "/docker.sock", ".sock", `"->"`, "x")
	case 5:
		return name + " glob " + pick(`"*docker*"`, `"->@*"`, `"*->"`, `"[@x]*"`)
	case 6:
		return name + " pmatch (" + pick(dir, `"->"`, "sub") + ")"
	}
	return name + " contains " + pick("docker.sock", `"->"`, "//", "abstract", "sub", "@")
}

// Of connections to other sockets than rules ask for, the kernel sends nothing; of
// those that they ask for, everything.
func TestUnixMasksPay(t *testing.T) {
	const connections = 500
	const docker = "evt.type in (connect, accept4) and fd.name contains /docker.sock"
	programs := callDir(t)
	first := ruleSet(t, docker)
	on, off := watch(t, first, true), watch(t, first, false)
	for _, tc := range []struct {
		name string
		want int
	}{{"other.sock", 0}, {"docker.sock", 2 * connections}} {
		on.use(first)
		off.use(first)
		pid := finish(t, exec.Command(filepath.Join(programs, "reader"), actArg, "unix-connect", filepath.Join(t.TempDir(), tc.name), fmt.Sprint(connections)))
		with, alerts := on.saw(pid)
		without, _ := off.saw(pid)
		sent, all := with["connect"]+with["accept4"], without["connect"]+without["accept4"]
		t.Logf("%s, connections to %s: %d of %d events", docker, tc.name, sent, all)
		if sent != tc.want || all != 2*connections || sum(alerts) != tc.want {
			t.Errorf("%d alerts; expected %d of %d events and as many alerts", sum(alerts), tc.want, 2*connections)
		}
	}
}

// A thread that changes the path in the program's memory while another connects
// hides no connection, and feigns none: the kernel judges the name that the socket
// has, and the event has the same.
func TestUnixPathSwapped(t *testing.T) {
	list := ruleSet(t, `evt.type=connect and fd.name = "->docker.s"`) // as it was bound
	dir := callDir(t)
	w := watch(t, list, true)
	cmd := exec.Command(filepath.Join(dir, "reader"), actArg, "unix-swap", dir, "3000")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, alerts := w.saw(cmd.Process.Pid)
	t.Logf("%s connections to the path", bytes.TrimSpace(out))
	if got := fmt.Sprintln(sum(alerts)); got != string(out) || got == "0\n" {
		t.Errorf("%d alerts, want %s", sum(alerts), out)
	}
}
