package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are those of Kubernetes quantities, with and without B.
var sizeUnits = []unit{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12},
	{"B", 1}, {"", 1},
}

// Size writes a measured size with three digits that count: "0 B",
// "27.1 MiB", "1.5 GiB".
func Size(bytes uint64) string {
	x, name := float64(bytes), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if x < 1023.5 {
			break
		}
		x, name = x/1024, larger
	}
	return significant(x) + " " + name
}

// Quantity writes an exact size as Kubernetes does, in the largest unit that
// divides it: "512Mi". ParseSize reads it back.
func Quantity(bytes int64) string {
	names := []string{"", "Ki", "Mi", "Gi", "Ti"}
	i := 0
	for bytes != 0 && bytes%1024 == 0 && i < len(names)-1 {
		bytes, i = bytes/1024, i+1
	}
	text := strconv.FormatInt(bytes, 10) + names[i]
	if i == 0 && bytes != 0 && bytes < bareSize {
		text += "B"
	}
	return text
}

// bareSize is the least size in bytes that is believed without a unit: a
// smaller number is one of mebibytes whose unit was forgotten.
const bareSize = 1 << 20

// ParseSize reads a size in bytes: "512Mi", "1.5GiB", "64MB", "268435456",
// "100B". A small number without a unit is an error, except 0.
func ParseSize(s string) (int64, error) {
	text := strings.TrimSpace(s)
	n, name, ok := scaled(text, sizeUnits)
	switch {
	case !ok || n < 0 || n >= math.MaxInt64:
		return 0, fmt.Errorf("size %q: expected a size such as 512Mi, 1.5Gi or 268435456", s)
	case name == "" && n != 0 && n < bareSize:
		return 0, fmt.Errorf("size %q has no unit: did you mean %sMi?", s, text)
	}
	return int64(n), nil
}

// CPUs writes a number of CPUs in full: "0.5", "2".
func CPUs(cpus float64) string { return strconv.FormatFloat(cpus, 'f', -1, 64) }

// Millis writes a number of CPUs in thousandths, as Kubernetes does: "500m".
func Millis(cpus float64) string { return strconv.FormatFloat(cpus*1000, 'f', 0, 64) + "m" }

// ParseCPUs reads a number of CPUs above 0: "0.5", "500m", "2".
func ParseCPUs(s string) (float64, error) {
	x, _, ok := scaled(strings.TrimSpace(s), []unit{{"m", 0.001}, {"", 1}})
	if !ok || x <= 0 {
		return 0, fmt.Errorf("CPUs %q: expected a number above 0, such as 0.5, 500m or 2", s)
	}
	return x, nil
}
