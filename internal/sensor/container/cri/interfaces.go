package cri

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// interfaces writes the pod's own network interfaces as a JSON array, by name:
// without loopback and the host's ends of pairs.
func interfaces(all map[string]json.RawMessage) string {
	var kept []json.RawMessage
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != "lo" && !strings.HasPrefix(name, "veth") {
			kept = append(kept, all[name])
		}
	}
	text, err := json.Marshal(kept)
	if err != nil || len(kept) == 0 { // it was JSON a moment ago
		return ""
	}
	return string(text)
}
