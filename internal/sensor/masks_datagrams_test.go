package sensor

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
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
