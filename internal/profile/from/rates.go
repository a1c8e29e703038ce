package from

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

// usual is the assumed mix of an unknown load, that of a service that waits for
// requests and serves files: shares of the rate.
var usual = []struct {
	syscall string
	share   float64
}{
	{"read", 0.22}, {"write", 0.12}, {"epoll_wait", 0.12}, {"futex", 0.12}, {"close", 0.1}, {"openat", 0.08}, {"newfstatat", 0.08},
	{"recvfrom", 0.06}, {"sendto", 0.05}, {"fcntl", 0.03}, {"mmap", 0.02},
}

// Rates makes a profile of a source that has rates alone: those of each node in
// order, each for the time every. kind is profile.FromMetrics or
// profile.FromPrometheus.
func Rates(nodes map[string][]float64, every time.Duration, kind string) (*profile.Profile, error) {
	if every < profile.Window {
		return nil, fmt.Errorf("rates every %v: expected at least every %v (--every)", every, profile.Window)
	}
	var profiles []*profile.Profile
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		b := profile.NewBuilder()
		for _, rate := range nodes[node] {
			if every > longest-b.Elapsed() {
				return nil, fmt.Errorf("rates over more than %v: expected a shorter time (--over)", longest)
			}
			for range int(every / profile.Window) {
				b.Add(divided(max(rate, 0) * profile.Window.Seconds()))
			}
		}
		if b.Elapsed() > 0 {
			profiles = append(profiles, b.Profile())
		}
	}
	if len(profiles) == 0 {
		return nil, errors.New("no rates")
	}
	p, err := profile.Merge(profiles)
	if err != nil {
		return nil, err
	}
	p.Source.Kind = kind
	p.Source.Assumed = []string{
		"the rates are of syscalls: a sensor counts only those that its rules ask for",
		fmt.Sprintf("each rate lasted %v, without bursts within it", every),
		"the mix is a usual one of a service; all calls succeed, on the host; no process starts",
	}
	return p, nil
}

func divided(calls float64) []profile.Count {
	var list []profile.Count
	for _, u := range usual {
		list = append(list, profile.Count{Syscall: u.syscall, Calls: calls * u.share})
	}
	return list
}
