package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/rules"
)

// expensive is a rule that matches nothing, at the cost of a large regular
// expression for each open.
const expensive = `- rule: Expensive
  desc: a large regular expression on the name of every file
  condition: evt.type in (open, openat, openat2) and fd.name regex "^([a-z/.]{1,30}){1,30}[a-z]{1,900}never[0-9a-f]{1,50}$"
  output: expensive (file=%fd.name)
  priority: NOTICE
`

// A Peregrine sensor that is made worse in one way gets the factor that is
// to blame, on this machine, with real load.
func TestCapacityFactorsOurSensor(t *testing.T) {
	needBPF(t)
	if testing.Short() {
		t.Skip("takes a minute")
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	regex := []string{"--rules", write("0-expensive.yaml", expensive, 0o600)}
	for _, name := range rules.Names {
		regex = append(regex, "--rules", write(name, string(rules.Read(name)), 0o600))
	}
	slow := write("slow.sh", "#!/bin/sh\nwhile read -r line; do sleep 0.01; done\n", 0o700)
	for _, test := range []struct {
		name string
		args []string
		want []capacity.FactorName
	}{
		// On a machine that is too small for the load, the pauses are its own, and
		// on a slow one the load keeps the reader busy. The limit is above what one
		// reader uses, so that no pauses are the limit's.
		{"small ring", []string{"--cpu", "1.9", "--start-rate", "200000", "--", "-o", "engine.modern_ebpf.buf_size_preset=1"},
			[]capacity.FactorName{capacity.FactorRing, capacity.FactorMachine, capacity.FactorGenerator, capacity.FactorCPU}},
		// Being out of CPU shows as throttling where the quota comes in bursts.
		{"expensive regex", slices.Concat([]string{"--cpu", "0.3", "--start-rate", "24000", "--max-duration", "40s"}, regex),
			[]capacity.FactorName{capacity.FactorCPU, capacity.FactorThrottling}},
		{"slow output", []string{"--cpu", "0.5", "--start-rate", "2000", "--", "-o", "program_output.enabled=true", "-o", "program_output.keep_alive=true",
			"-o", "program_output.program=" + slow, "-o", "outputs_queue.capacity=100"},
			[]capacity.FactorName{capacity.FactorOutput}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			args := slices.Concat([]string{"capacity", "run", "--quick", "--confirm", "2s", "--precision", "0.5", "--max-duration", "25s", "--force", "--out", out}, test.args)
			code, stdout, stderr := execute(t, nil, args...)
			if code != ExitOK && code != ExitInconclusive {
				t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
			}
			r, err := run.Load(out)
			if err != nil {
				t.Fatal(err)
			}
			f := r.Rows[0].Factor
			t.Logf("%s: %s", f.Name, f.Evidence)
			if !slices.Contains(test.want, f.Name) {
				t.Errorf("limiting factor %+v, want %q\n%s", f, test.want, stderr)
			}
			if !strings.Contains(stdout, string(f.Name)) {
				t.Errorf("the report does not name it:\n%s", stdout)
			}
		})
	}
}
