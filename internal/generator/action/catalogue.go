package action

import (
	"slices"
	"strings"
)

// catalogue is every action, sorted by name.
var catalogue = sorted(
	&clearLogActivities,
	&directoryTraversalMonitoredFileRead,
	&readSensitiveFileUntrusted,
	&noiseOpenClose,
)

func sorted(actions ...*Action) []*Action {
	slices.SortFunc(actions, func(a, b *Action) int { return strings.Compare(a.Name, b.Name) })
	return actions
}

// cutName splits collection.Name.
func cutName(name string) (collection, action string, found bool) { return strings.Cut(name, ".") }
