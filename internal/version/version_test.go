package version

import (
	"runtime/debug"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestOf(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}
	for want, info := range map[string]debug.BuildInfo{
		"v1.2.3":                  {Main: debug.Module{Version: "v1.2.3"}, Settings: commit},
		"unreleased-0123456789ab": {Main: debug.Module{Version: "(devel)"}, Settings: commit},
		"unreleased":              {Main: debug.Module{Version: "(devel)"}},
	} {
		if got := of(&info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
