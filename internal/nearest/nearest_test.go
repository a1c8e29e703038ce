package nearest

import (
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestName(t *testing.T) {
	names := []string{"json_output", "rules_files", "rate", "rule_matching"}
	for typed, want := range map[string]string{
		"json_output": "json_output", "json_ouptut": "json_output", "JSON_Output": "json_output", "json_out": "json_output",
		"rules_file": "rules_files", "raet": "rate", "zzz": "", "": "",
	} {
		if got, ok := Name(typed, names); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", typed, got, ok, want)
		}
	}
}
