package show

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

// node is a node with a service in a container and a job every three seconds.
func node(factor float64) *profile.Profile {
	b := profile.NewBuilder()
	for i := range 300 {
		job := 0.0
		if i%30 < 5 {
			job = 40 * factor
		}
		b.Add([]profile.Count{
			{Syscall: "epoll_wait", Container: true, Calls: 120},
			{Syscall: "read", Container: true, Calls: 240 + float64(i%7)},
			{Syscall: "openat", Calls: 3 + 10*job},
			{Syscall: "openat", Failed: true, Calls: job},
			{Syscall: "execve", Calls: job / 20},
			{Syscall: "mmap", Calls: job},
		})
	}
	p := b.Profile()
	p.Source = profile.Source{Kind: profile.FromKernel, Started: time.Unix(1790000000, 0).UTC(), Nodes: 1, Kernel: "6.18.0", Arch: "amd64",
		CPUs: 4, Assumed: []string{"nothing but this line"}}
	q := &profile.Quantiles{P50: 0.004, P99: 1.5, Max: 29}
	n := &profile.Quantiles{P50: 3, P99: 12, Max: 250}
	p.Processes = &profile.Processes{Forks: 4, Execs: 3.3, Threads: 1, Exits: 4, Lifetime: q, Arguments: n, ArgumentBytes: n}
	p.Paths = &profile.Paths{Sampled: 12345, Distinct: 0.03, Relative: 0.125, Depth: n, Names: []profile.Named{{Path: "/etc/\x1bhosts", Share: 0.25}}}
	p.Sockets = profile.NewSockets(map[profile.Socket]float64{
		{Call: "socket", Family: "ipv4", Protocol: "stream"}:    30,
		{Call: "connect", Family: "ipv4", Locality: "loopback"}: 20,
	})
	return p
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	for i, line := range strings.Split(got, "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("line %d has %d columns", i+1, n)
		}
	}
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, node(1), Options{Rows: 4}); err != nil {
		t.Fatal(err)
	}
	golden(t, "show.txt", b.String())
}

func TestDiff(t *testing.T) {
	var b strings.Builder
	other := node(1.3)
	other.Syscalls = append(other.Syscalls, profile.Syscall{Name: "bpf", Host: profile.Calls{Rate: 2}})
	if err := Diff(&b, profile.Compare(node(1), other), Options{Rows: 4}); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", b.String())
}

// A profile with only a rate prints no NaN.
func TestEmpty(t *testing.T) {
	var b strings.Builder
	p := profile.NewBuilder().Profile()
	p.Source.Kind = profile.FromPrometheus
	if err := Text(&b, p, Options{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") {
		t.Error(b.String())
	}
}
