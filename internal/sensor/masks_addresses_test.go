package sensor

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

var (
	addressSeed   = flag.Uint64("addresses-seed", 0, "of TestAddressMasksOnAndOff; 0: another each time")
	addressRounds = flag.Int("addresses-rounds", 40, "sets of rules that TestAddressMasksOnAndOff tries")
)

// Random rules about addresses and ports have the same alerts of random calls on
// sockets whether the kernel masks what they cannot match or not.
func TestAddressMasksOnAndOff(t *testing.T) {
	seed := cmp.Or(*addressSeed, rand.Uint64())
	t.Logf("-addresses-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := callDir(t)
	first := ruleSet(t, addressRule(r, socketCalls))
	masksOnAndOff(t, *addressRounds, first, func(name string) ([]*rules.Rule, *exec.Cmd) {
		list := ruleSet(t, addressRule(r, socketCalls), addressRule(r, socketCalls), addressRule(r, socketCalls))
		return list, exec.Command(filepath.Join(dir, name), actArg, "network", fmt.Sprint(r.Uint64()), "600")
	})
}

// masksOnAndOff compares the alerts of a program's calls, in some rounds, with
// masks and without. round draws the rules and the command, by one of callNames.
func masksOnAndOff(t *testing.T, rounds int, first []*rules.Rule, round func(name string) ([]*rules.Rule, *exec.Cmd)) {
	t.Helper()
	on, off := watchBoth(t, first)
	var sent, seen, alerted int
	for i := range rounds {
		list, command := round(callNames[i%len(callNames)])
		on.use(list)
		off.use(list)
		pid := finish(t, command)
		events, alerts := on.saw(pid)
		all, want := off.saw(pid)
		if incomplete(t, on, off) {
			continue
		}
		if d := gocmp.Diff(want, alerts); d != "" {
			for _, rule := range list {
				t.Log(rule.Name, rule.Condition)
			}
			t.Fatalf("round %d: alerts without masks (-) and with (+):\n%s", i, d)
		}
		sent, seen, alerted = sent+sum(events), seen+sum(all), alerted+sum(want)
	}
	t.Logf("%d of %d events delivered, %d alerts", sent, seen, alerted)
	if sent > seen*9/10 || alerted == 0 {
		t.Errorf("%d of %d events delivered, %d alerts: tells little", sent, seen, alerted)
	}
}

// ruleSet are rules with these conditions.
func ruleSet(t *testing.T, conditions ...string) []*rules.Rule {
	t.Helper()
	var b strings.Builder
	for i, condition := range conditions {
		fmt.Fprintf(&b, "- rule: r%d\n  desc: d\n  condition: %q\n  output: \"%%evt.type %%evt.rawres %%proc.name %%fd.name %%evt.args\"\n  priority: INFO\n", i, condition)
	}
	set, report := rules.Load([]rules.Source{{Name: "random.yaml", Content: []byte(b.String())}}, RuleOptions())
	if set == nil {
		t.Fatalf("%v\n%s", report.Err(), &b)
	}
	return set.Rules
}

var socketCalls = []string{
	"connect", "accept4", "bind", "listen", "shutdown", "setsockopt", "getsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "connect", "accept4",
}

// addressRule draws the condition of a rule about addresses and ports, and calls.
func addressRule(r *rand.Rand, kinds []string) string {
	var some []string
	for range 1 + r.IntN(5) {
		some = append(some, kinds[r.IntN(len(kinds))])
	}
	return "evt.type in (" + strings.Join(some, ", ") + ") and " + addressCondition(r, 2)
}

func addressCondition(r *rand.Rand, depth int) string {
	if depth > 0 {
		a, b := addressCondition(r, depth-1), addressCondition(r, depth-1)
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
	end := pick("", "c", "s", "l", "r", "s")
	ports := []string{"22", "2222", "80", "53", "1", "0", "1022", "5000", "1024"}
	addresses := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", ownAddress, "169.254.169.254"}
	networks := []string{"127.0.0.0/8", "127.0.0.1/32", "127.0.0.2/31", "0.0.0.0/0", "::/0", "::1/128", "10.0.0.0/8", "10.1.0.0/24"}
	quoted := func(list []string) string { return `"` + pick(list...) + `"` }
	switch r.IntN(8) {
	case 0:
		return pick("evt.failed=true", "evt.rawres>=0", "fd.l4proto=udp", "fd.typechar=4", "fd.connected=true", "proc.name=reader", "fd.is_server=true", "fd.name contains :22", "fd.sport exists")
	case 1:
		return "fd." + end + "ip " + pick("=", "!=") + " " + quoted(addresses)
	case 2:
		return "fd." + end + "ip in (" + quoted(addresses) + ", " + quoted(addresses) + ")"
	case 3:
		return "fd." + end + "net " + pick("=", "!=") + " " + quoted(networks)
	case 4:
		return "fd." + end + "net in (" + quoted(networks) + ", " + quoted(networks) + ")"
	case 5:
		return "fd." + end + "port in (" + pick(ports...) + ", " + pick(ports...) + ")"
	}
	return "fd." + end + "port " + pick("=", "!=", "<", "<=", ">", ">=") + " " + pick(ports...)
}

// Of connections and datagrams to other addresses and ports than rules ask for,
// the kernel sends nothing; of those that they ask for, everything.
func TestAddressMasksPay(t *testing.T) {
	const metadata, ssh = "evt.type in (connect, accept4) and fd.sip=169.254.169.254", "evt.type in (connect, accept4) and fd.sport in (22, 2222)"
	const asked, dns = "evt.type in (sendto, recvfrom) and fd.sip=169.254.169.254", "evt.type in (sendto, recvfrom) and fd.sport=53"
	const outbound = "evt.type in (sendto, recvfrom) and fd.connected=false and fd.name_changed=true and not fd.rnet=127.0.0.0/8 or evt.type=recvfrom"
	const times, all = 500, 1000
	dir := callDir(t)
	first := ruleSet(t, metadata)
	on, off := watch(t, first, true), watch(t, first, false)
	for _, tc := range []struct {
		condition, act, at string
		want               int
	}{
		{metadata, "connect", ownAddress + ":8080", 0},
		{ssh, "connect", ownAddress + ":8080", 0},
		{ssh, "connect", ownAddress + ":2222", all},
		{asked, "exchange", ownAddress + ":53", 0},
		{asked, "exchange", "[::ffff:" + ownAddress + "]:53", 0},
		{asked, "exchange", "[::1]:53", 0},
		{dns, "exchange", ownAddress + ":8080", 0},
		{dns, "exchange", ownAddress + ":53", all},
		{dns, "exchange", "[::ffff:" + ownAddress + "]:53", all},
		{asked, "beside", ownAddress + ":53", 0},
		{dns, "beside", ownAddress + ":53", all},
		{outbound, "beside", ownAddress + ":8080", all},
	} {
		on.use(ruleSet(t, tc.condition))
		off.use(ruleSet(t, tc.condition))
		pid := finish(t, exec.Command(filepath.Join(dir, "reader"), actArg, tc.act, tc.at, fmt.Sprint(times)))
		with, _ := on.saw(pid)
		without, _ := off.saw(pid)
		var sent, seen int
		for _, kind := range []string{"connect", "accept4", "sendto", "recvfrom"} {
			sent, seen = sent+with[kind], seen+without[kind]
		}
		t.Logf("%s, %s with %s: %d of %d events", tc.condition, tc.act, tc.at, sent, seen)
		if sent != tc.want || seen != all {
			t.Errorf("expected %d of %d", tc.want, all)
		}
	}
}
