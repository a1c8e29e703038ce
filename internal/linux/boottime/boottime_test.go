package boottime

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"monotonic           0         0\nboottime            0         0\n": 0,
		"monotonic           5         0\nboottime        -1000         7\n": -1000*time.Second + 7,
		"1 0 0\n7 86400 0\n":             24 * time.Hour,
		"":                               0,
		"boottime":                       0,
		"boottime x 0":                   0,
		"boottime 1 x":                   0,
		"boottime 9223372036854775807 0": 0,
	} {
		if got := parse([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

const child = "PEREGRINE_TEST_BOOTTIME"

// In a time namespace, the clock is still the machine's, and so are the start
// of a process and the machine's.
func TestNamespace(t *testing.T) {
	if os.Getenv(child) != "" {
		stat, err := procfs.Host.Stat(os.Getppid())
		fmt.Println(err, int64(Now()), int64(Of(stat.StartTime())/procfs.Tick), Epoch()/1e9)
		os.Exit(0)
	}
	needs.Root(t)
	stat, err := procfs.Host.Stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, shift := range []string{"0", "-1", "86400"} {
		// The shell stays the parent's child: unshare replaces itself.
		cmd := exec.Command("unshare", "--time", "--boottime", shift, "sh", "-c", `exec "$0" -test.run '^TestNamespace$'`, "/proc/self/exe")
		cmd.Args[len(cmd.Args)-1] = os.Args[0]
		cmd.Env = append(os.Environ(), child+"=1")
		before := Now()
		out, err := cmd.CombinedOutput()
		after := Now()
		if err != nil {
			t.Fatalf("unshare: %v\n%s", err, out)
		}
		var now, start, epoch int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(string(out), "<nil> "), "%d %d %d", &now, &start, &epoch); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if time.Duration(now) < before || time.Duration(now) > after {
			t.Errorf("offset %s: now %v, want between %v and %v", shift, time.Duration(now), before, after)
		}
		if start != int64(stat.Start) {
			t.Errorf("offset %s: start %d, want %d", shift, start, stat.Start)
		}
		if want := Epoch() / 1e9; epoch < want-1 || epoch > want+1 {
			t.Errorf("offset %s: the machine's start %d, want %d", shift, epoch, want)
		}
	}
}
