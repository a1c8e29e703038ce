package limit

import (
	"testing"
)

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]float64{"0.5": 0.5, "500m": 0.5, "2": 2, " 1 ": 1, "10m": 0.01} {
		got, err := ParseCPU(text)
		if err != nil || got != want {
			t.Errorf("ParseCPU(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "m", "5m", "NaN", "Inf", "0.5 CPU"} {
		if got, err := ParseCPU(text); err == nil {
			t.Errorf("ParseCPU(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"512Mi": 512 << 20, "1.5Gi": 3 << 29, "268435456": 256 << 20, "0": 0, "1k": 1000, "512MiB": 512 << 20, "2M": 2e6, "512 Mi": 512 << 20,
	} {
		got, err := ParseMemory(text)
		if err != nil || got != want {
			t.Errorf("ParseMemory(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1Mi", "Mi", "512", "1e30Gi", "lots"} {
		if got, err := ParseMemory(text); err == nil {
			t.Errorf("ParseMemory(%q) = %v, want an error", text, got)
		}
	}
}
