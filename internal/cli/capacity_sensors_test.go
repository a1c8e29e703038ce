package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity/stand"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// sensors returns the sensors that the flags of capacity run select, as "name
// kind rules args".
func sensors(t *testing.T, args ...string) (found []string, err error) {
	t.Helper()
	cmd := newCapacityRun(Env{})
	f := &capacityRunFlags{}
	cmd.ResetFlags()
	f.add(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	stands, err := f.stands(Env{}, cmd.Flags().Args())
	for _, s := range stands {
		o := s.options
		found = append(found, strings.TrimSpace(strings.Join([]string{s.name, string(o.Kind), o.Config, strings.Join(o.Rules, ","), strings.Join(o.Args, " ")}, " ")))
	}
	return found, err
}

func TestCapacitySensors(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                 {string(stand.Embedded)},
		"--sensor falco -r a.yaml":         {"falco  a.yaml"},
		"--sensor embedded --sensor falco": {"embedded embedded", "falco falco"},
		"--sensor embedded,falco -- -A":    {"embedded embedded   -A", "falco falco   -A"},
		"--variant=a=-r~a.yaml --variant=b=-r~b.yaml,c.yaml":                                 {"a embedded  a.yaml", "b embedded  b.yaml,c.yaml"},
		"--variant=ours= --variant=theirs=--sensor~falco~--sensor-config~f.yaml~--~-A -- -v": {"ours embedded   -v", "theirs falco f.yaml  -v -A"},
		"-o dir --mix 1:50": {string(stand.Embedded)}, // older spellings
	} {
		var args []string
		for _, arg := range strings.Fields(line) {
			args = append(args, strings.ReplaceAll(arg, "~", " "))
		}
		got, err := sensors(t, args...)
		for i := range want {
			want[i] = strings.TrimSpace(want[i])
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", line, err, diff)
		}
	}
}

func TestCapacitySensorErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"give one of them":                  {"--sensor", "falco", "--pid", "1"},
		`two sensors are called "falco"`:    {"--sensor", "falco", "--sensor", "falco"},
		`two sensors are called "a"`:        {"--variant", "a=", "--variant", "a=-r x"},
		"expected NAME=FLAGS":               {"--variant", "x"},
		"--variant a: unknown flag: --cpu":  {"--variant", "a=--cpu 1"},
		"--variant names its sensor itself": {"--variant", "a=", "--sensor", "falco"},
	} {
		if got, err := sensors(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %v; want %q", args, got, err, want)
		}
	}
}

// The help shows one spelling of each flag.
func TestCapacityRunHelp(t *testing.T) {
	_, stdout, _ := execute(t, nil, "capacity", "run", "--help")
	for _, old := range []string{"--mix", "--out-dir", "-o,"} {
		if strings.Contains(stdout, old) {
			t.Errorf("the help shows %s", old)
		}
	}
}

// A directory of a run that has not come to a result serves the next one.
func TestOpenStandsAgain(t *testing.T) {
	dir := t.TempDir()
	o := stand.Options{Kind: stand.Embedded, Actions: action.All()[:1]}
	for range 2 {
		if all, err := openStands(t.Context(), []namedStand{{"a", o}, {"b", o}}, dir); err != nil || len(all) != 2 {
			t.Errorf("%d sensors, %v", len(all), err)
		}
	}
}
