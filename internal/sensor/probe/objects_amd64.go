package probe

import _ "embed"

// The objects of the generated loaders, but as text: the executable has text in
// read-only memory, whose pages the sensor gives back once it has read them.
var (
	//go:embed direct_x86_bpfel.o
	directObject string
	//go:embed legacy_x86_bpfel.o
	legacyObject string
	//go:embed oldest_x86_bpfel.o
	oldestObject string
)
