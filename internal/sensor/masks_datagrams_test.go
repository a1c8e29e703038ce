package sensor

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

var (
	datagramSeed   = flag.Uint64("datagrams-seed", 0, "of TestDatagramMasksOnAndOff; 0: another each time")
	datagramRounds = flag.Int("datagrams-rounds", 40, "sets of rules that TestDatagramMasksOnAndOff tries")
)

var datagramKinds = []string{
	"sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "recvfrom", "recvmsg", "connect", "setsockopt",
}

// Random rules about addresses and ports have the same alerts of random messages,
// most of which name the other end, whether the kernel masks what they cannot
// match or not.
func TestDatagramMasksOnAndOff(t *testing.T) {
	seed := cmp.Or(*datagramSeed, rand.Uint64())
	t.Logf("-datagrams-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := callDir(t)
	masksOnAndOff(t, *datagramRounds, ruleSet(t, addressRule(r, datagramKinds)), func(name string) ([]*rules.Rule, *exec.Cmd) {
		list := ruleSet(t, addressRule(r, datagramKinds), addressRule(r, datagramKinds))
		return list, exec.Command(filepath.Join(dir, name), actArg, "datagrams", fmt.Sprint(r.Uint64()), "600")
	})
}

// A program that changes an address in its memory while the kernel and the probe
// look at it is judged by what the event shows: of a rule that the kernel knows all
// of, every event that it sends is an alert.
func TestAddressIsReadOnce(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("the threads run one after the other")
	}
	dir := callDir(t)
	condition := func(kind string) string { return "evt.type=" + kind + " and fd.rip=" + ownAddress }
	w := watch(t, ruleSet(t, condition("sendto")), true)
	for _, kind := range []string{"sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"} {
		w.use(ruleSet(t, condition(kind)))
		const times = 5000
		pid := finish(t, exec.Command(filepath.Join(dir, "reader"), actArg, "flip", kind, fmt.Sprint(times)))
		events, alerts := w.saw(pid)
		sent, alerted := events[kind], sum(alerts)
		t.Logf("%s: %d events, %d alerts", kind, sent, alerted)
		if sent != alerted || sent == 0 {
			t.Errorf("%s: %d events, %d alerts", kind, sent, alerted)
		}
	}
}
