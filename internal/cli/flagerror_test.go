package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// Errors about the command line name the expected form, without Go's words.
func TestCommandLineMistakes(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"senser", ExitUsage, `unknown command "senser" for "peregrine"; did you mean sensor?`},
		{"sensor stauts", ExitFailure, `unknown command "stauts" for "peregrine sensor"; did you mean status?`},
		{"rules chek", ExitUsage, `unknown command "chek" for "peregrine rules"; did you mean check?`},
		{"rules zzz", ExitUsage, `unknown command "zzz" for "peregrine rules"; see 'peregrine rules --help'`},
		{"generate liste", ExitUsage, `did you mean list?`},
		{"sensor --rulse x", ExitFailure, `unknown flag: --rulse; did you mean --rules?; see 'peregrine sensor --help'`},
		{"sensor -M soon", ExitFailure, `--max-seconds "soon": expected a whole number`},
		{"sensor -A=maybe", ExitFailure, `--all-events "maybe": expected true or false`},
		{"generate run --for 5", ExitUsage, `--for "5": expected a duration with its unit, such as 500ms, 30s or 5m`},
		{"generate run --rate x", ExitUsage, `--rate "x": expected a number such as 500, 2.5k or 1M`},
		{"generate run DoNothing --for -5s", ExitUsage, `--for "-5s": expected a value that is not negative`},
		{"bench run DoNothing --workers -2", ExitUsage, `--workers "-2": expected a value that is not negative`},
		{"bench run DoNothing --rest -1s", ExitUsage, `--rest "-1s": expected a value that is not negative`},
		{"bench run DoNothing --ui window", ExitUsage, `--ui "window": expected auto, plain or live`},
		{"overhead --cpu -1 --format pdf", ExitUsage, `--format "pdf"`}, // for any CPU
		{"capacity run --repeat -1", ExitUsage, `--repeat "-1": expected a value that is not negative`},
		{"overhead --cpu x", ExitUsage, `--cpu "x": expected a whole number`},
		{"profile diff a", ExitUsage, `arguments: expected 2, got 1: peregrine profile diff A B`},
		{"profile merge", ExitUsage, `expected at least one profile`},
		{"rules cost", ExitUsage, `expected either --capture FILE or --live DURATION`},
		{"rules test x", ExitUsage, `expected --capture FILE`},
		{"generate run --noise 5q", ExitUsage, `--noise "5q": expected a number such as 500, 2.5k or 1M`},
		{"generate run --order any", ExitUsage, `--order "any": expected shuffle, listed or random`},
		{"capacity run --start-rate fast", ExitUsage, `--start-rate "fast": expected a number such as 500, 2.5k or 1M`},
		{"capacity run --precision x", ExitUsage, `--precision "x": expected percent or a share of one, such as 0.1% or 0.001`},
		{"capacity run --precision 200%", ExitUsage, `--precision "200%": expected less than 100 %`},
		{"capacity run --format pdf", ExitUsage, `--format "pdf": expected text, markdown, csv or json`},
		{"overhead --format pdf", ExitUsage, `--format "pdf": expected text or json`},
		{"sensor --format pdf", ExitFailure, `--format "pdf": expected text, markdown or json`},
		{"sensor status --format pdf", ExitFailure, `--format "pdf": expected text or json`},
		{"generate run --ramp 1,x", ExitUsage, `--ramp "1,x": expected a number such as 500, 2.5k or 1M`},
		{"generate run --count -1", ExitUsage, `--count "-1": expected a whole number that is not negative`},
		{"rules list -r /nosuch.yaml", ExitFailure, `no such rules file: /nosuch.yaml`},
		{"rules check /nosuch.yaml", ExitFailure, `no such rules file: /nosuch.yaml; correct the path`},
		{"rules check --format json /nosuch.yaml", ExitFailure, `LOAD_ERR_FILE_READ`},
		{"bench rnu", ExitUsage, `unknown command "rnu" for "peregrine bench"; did you mean run?`},
		{"help bench rnu", ExitUsage, `unknown command "rnu" for "peregrine bench"; did you mean run?`},
		{"help senser", ExitUsage, `unknown command "senser" for "peregrine"; did you mean sensor?`},
		{"completion bsh", ExitUsage, `unknown command "bsh" for "peregrine completion"; did you mean bash?`},
		{"version x", ExitUsage, `unexpected argument "x"; see 'peregrine version --help'`},
		{"sensor status x", ExitFailure, `unexpected argument "x"; see 'peregrine sensor status --help'`},
		{"capacity analyze x", ExitUsage, `unexpected argument "x"`},
		{"sensor -s", ExitFailure, `-s needs a value; see 'peregrine sensor --help'`},
		{"capacity run --cpu", ExitUsage, `--cpu needs a value`},
		{"bench run DoNothing -o json", ExitUsage, `unknown flag: -o; see 'peregrine bench run --help'`},
		{"bench run DoNothing --rate 1e99", ExitUsage, `rate "1e99": expected at most 1G`},
		{"generate run DoNothing --rate 1e99", ExitUsage, `--rate "1e99": expected at most 1G`},
		{"bench run DoNothing --workers 99999999999999999999", ExitUsage, `--workers "99999999999999999999": expected a smaller number`},
		{"bench run DoNothing --stats stats.txt", ExitUsage, `--stats is for a sensor that is not embedded`},
		{"capacity run --fail-if beauty<1", ExitUsage, `--fail-if: condition "beauty<1": unknown metric`},
		{"capacity report /nosuch", ExitFailure, `expected the directory of a capacity run: open /nosuch`},
	} {
		stdout, stderr, code := command(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%s: exit code %d, want %d and %s:\n%s%s", tt.args, code, tt.code, tt.want, stdout, stderr)
		}
		for _, word := range []string{"strconv", "invalid syntax", "Usage:"} {
			if strings.Contains(stdout+stderr, word) {
				t.Errorf("%s: %q in:\n%s%s", tt.args, word, stdout, stderr)
			}
		}
	}
}

// Every flag that is shown is in a group, if the command has any, no flag has two
// defaults, and the lines of --help fit.
func TestHelp(t *testing.T) {
	flagStart := regexp.MustCompile(`(?m)^ {2,6}-`)
	eachCommand(t, func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())[1:]
		stdout, _, code := command(t, append(args, "--help")...)
		if code != ExitOK || !strings.Contains(stdout, "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("%s: exit code %d:\n%s", args, code, stdout)
		}
		cmd.InitDefaultHelpFlag()
		groups := flagGroups(cmd)
		if rest := groups[len(groups)-1]; len(groups) > 1 && strings.Count(rest.Usages, "\n") > 0 {
			t.Errorf("%s: flags without a group:\n%s", args, rest.Usages)
		}
		for _, g := range groups {
			for _, flag := range flagStart.Split(g.Usages, -1) {
				if strings.Count(flag, "(default") > 1 || strings.Contains(flag, "(default 0s)") {
					t.Errorf("%s: two defaults, or one of 0s: %s", args, flag)
				}
				for _, word := range []string{"stringArray", "uint", "float"} {
					if strings.Contains(flag, word) {
						t.Errorf("%s: %s: %s", args, word, flag)
					}
				}
			}
		}
		_, flags, _ := strings.Cut(stdout, "lags:\n")
		for line := range strings.SplitSeq(flags, "\n") {
			if len(line) > helpWidth+40 && strings.Contains(strings.TrimSpace(line), " ") { // words are not broken
				t.Errorf("%s: %d characters: %s", args, len(line), line)
			}
		}
	})
}

// Groups come in the order in which they are made, whatever the names are.
func TestHelpOrder(t *testing.T) {
	root := newRoot(Env{})
	cmd, _, err := root.Find([]string{"capacity", "kubernetes"})
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, g := range flagGroups(cmd) {
		titles = append(titles, g.Title)
	}
	want := []string{"Which sensor", "Limits", "Load", "How long and how exact", "Results", "Cluster"}
	if diff := cmp.Diff(want, titles); diff != "" {
		t.Error(diff)
	}
	if first := flagGroups(cmd)[0].Usages; !strings.Contains(first, "--alerts") {
		t.Errorf("--alerts is not in its first group:\n%s", first)
	}
}

// The prose of every command's help fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	eachCommand(t, func(cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Short, "\n") {
			if n := len([]rune(line)); n > 80 {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	})
}

// eachCommand calls do for all commands but the library's.
func eachCommand(t *testing.T, do func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return
		}
		do(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }, Context: t.Context()}))
}

// The shell completes values.
func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"sensor --format ":              "markdown",
		"sensor -o json_out":            "json_output=",
		"rules explain Read":            "Read sensitive file untrusted",
		"generate run Read":             "ReadSensitiveFileUntrusted",
		"generate list --risk ":         "network",
		"generate --loglevel ":          "debug",
		"generate run --order ":         "shuffle",
		"generate list --format mark":   "markdown",
		"bench run --format ":           "csv",
		"bench report --format ":        "markdown",
		"bench run --sensor ":           "running",
		"capacity run --format ":        "csv",
		"capacity run --load ":          "noise",
		"capacity kubernetes --format ": "kustomize",
		"overhead --format ":            "json",
		"rules list --format ":          "json",
		"sensor top --format ":          "json",
	} {
		words := append([]string{"__complete"}, strings.Split(args, " ")...)
		stdout, stderr, code := command(t, words...)
		if code != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, no %s:\n%.300s%s", args, code, want, stdout, stderr)
		}
	}
}

// A configuration of flags that cannot be read names the place.
func TestConfigurationMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"a: [b":         ":1:5: did not find expected",
		"sleep: [1, 2]": ":1:8: sleep: expected a single value",
		"- sleep":       ":1:1: expected flags by name",
		"sleep: soon":   `--sleep "soon": expected a duration`,
	} {
		path := filepath.Join(t.TempDir(), "flags.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := command(t, "generate", "run", "DoNothing", "--config", path)
		if code != ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, want %s:\n%s%s", text, code, want, stdout, stderr)
		}
	}
}
