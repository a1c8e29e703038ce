package falco

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestParse(t *testing.T) {
	for version, want := range map[string]Release{
		"0.30.0": 30, "v0.37.1-slim": 37, "0.44.1": 44, "0.45.0-rc1": 45,
		"1.0.0": Newest, "": Newest, "latest": Newest, "0.0.0-6c85cc8": Newest, "master": Newest,
	} {
		if got := Parse(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

// Each release gets only options that it knows: an unknown option ends it.
func TestReleases(t *testing.T) {
	const printed, appended, limited, old, metrics = "-p pid=%proc.pid tid=%thread.tid", "append_output[]=", "outputs.rate=", "-s /stats --stats-interval 1000", "metrics.output_file=/stats"
	for release := Release(30); release <= 45; release++ {
		line := strings.Join(append(release.Alerts(), release.StatsFile("/stats")...), " ")
		for part, want := range map[string]bool{
			"json_output=true": true, printed: release < 40, appended: release >= 40, limited: release < 37, old: release < 35, metrics: release >= 35, "metrics.output_rule=false": release >= 35,
		} {
			if strings.Contains(line, part) != want {
				t.Errorf("0.%d: %q in %q: want %v", release, part, line, want)
			}
		}
		if has := release.StatsEndpoint() != nil; has != (release >= 38) {
			t.Errorf("0.%d: metrics endpoint %v", release, has)
		}
		if release.GRPC() != (release < 44) {
			t.Errorf("0.%d: gRPC %v", release, release.GRPC())
		}
	}
}
