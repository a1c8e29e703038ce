package human

import (
	"fmt"
	"strconv"
	"strings"
)

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
