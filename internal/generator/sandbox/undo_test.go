package sandbox

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/engine/enginetest"
)

// listed is how a docker lists a container: from its third list on.
const listed = `[ "$2" = ls ] && [ $(grep -c " ls " $log) -ge 3 ] && echo 0123abc; exit 0`

// An object whose request was not answered may appear late; after an answer it
// will not.
func TestCleanupOfLateContainers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answered bool
		want     []string
		asked    int
	}{
		{"asked for", false, []string{"removed container peregrine-x"}, 3},
		{"answered about", true, nil, 1},
	} {
		noted := enginetest.Stub(t, "docker", listed)
		state := t.TempDir()
		entries := []entry{{Container: &contained{Engine: engine.Docker, Name: "peregrine-x"}}}
		if tt.answered {
			entries = append(entries, entry{Container: &contained{engine.Docker, "peregrine-x", true}})
		}
		dead(t, state, entries...)
		did, err := Cleanup(state)
		asked := strings.Count(noted(), " ls ")
		if err != nil || strings.Join(did, "\n") != strings.Join(tt.want, "\n") || asked != tt.asked {
			t.Errorf("%s: %q, %v, after %d lists, want %q after %d", tt.name, did, err, asked, tt.want, tt.asked)
		}
	}
}
