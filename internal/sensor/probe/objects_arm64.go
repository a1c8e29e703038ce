package probe

import _ "embed"

// The objects of the generated loaders, but as text: the executable has text in
// read-only memory, whose pages the sensor gives back once it has read them.
var (
	//go:embed direct_arm64_bpfel.o
	directObject string
	//go:embed legacy_arm64_bpfel.o
	legacyObject string
	//go:embed oldest_arm64_bpfel.o
	oldestObject string
)
