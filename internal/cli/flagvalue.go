package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// parsed is a flag whose value is read by a function of this program, so that
// all commands read it alike.
type parsed struct {
	text, kind string
	set        func(string) error
}

func (p *parsed) String() string { return p.text }
func (p *parsed) Type() string   { return p.kind }

func (p *parsed) Set(s string) error {
	err := p.set(s)
	if err == nil {
		p.text = s
	}
	return err
}

// rateFlag adds a flag such as "20k".
func rateFlag(flags *pflag.FlagSet, value *float64, name, usage string) {
	flags.Var(&parsed{kind: "rate", set: func(s string) (err error) {
		*value, err = parseRate(s)
		return err
	}}, name, usage)
}

// parseRate reads a rate that may be 0.
func parseRate(s string) (float64, error) {
	rate, err := human.ParseNumber(s)
	if rate > human.MaxRate {
		err = fmt.Errorf("expected at most %s", human.Number(human.MaxRate))
	}
	return rate, err
}

// ratesFlag adds a flag such as "1k,20k".
func ratesFlag(flags *pflag.FlagSet, values *[]float64, name, usage string) {
	flags.Var(&parsed{kind: "rates", set: func(s string) error {
		*values = nil
		for text := range strings.SplitSeq(s, ",") {
			rate, err := parseRate(text)
			if err != nil {
				return err
			}
			*values = append(*values, rate)
		}
		return nil
	}}, name, usage)
}

// shareFlag adds a flag such as "5%" or "0.05", below 100 %.
func shareFlag(flags *pflag.FlagSet, value *float64, name, usage string) {
	flags.Var(&parsed{kind: "share", set: func(s string) (err error) {
		*value, err = human.ParseShare(s)
		if err == nil && *value >= 1 {
			err = errors.New("expected less than 100 %")
		}
		return err
	}}, name, usage)
}

// choiceFlag adds a flag with a fixed set of values, which the shell completes.
// The first one is the default. flags are cmd's own or its persistent ones.
func choiceFlag(cmd *cobra.Command, flags *pflag.FlagSet, value *string, name, usage string, of ...string) {
	*value = of[0]
	last := len(of) - 1
	words := strings.Join(of[:last], ", ") + " or " + of[last]
	flags.Var(&parsed{text: of[0], kind: "string", set: func(s string) error {
		if !slices.Contains(of, s) {
			return errors.New("expected " + words)
		}
		*value = s
		return nil
	}}, name, usage+": "+words)
	completeFlag(cmd, name, of...)
}

// formatFlag adds --format. Its older spellings, -o and --output, go on working.
func formatFlag(cmd *cobra.Command, format *string, formats ...string) {
	flags := cmd.Flags()
	choiceFlag(cmd, flags, format, "format", "output format", formats...)
	flags.VarP(flags.Lookup("format").Value, "output", "o", "the same as --format")
	flags.Lookup("output").Hidden = true
}

// jsonFlag adds --format text or json. Its older spelling, --json, goes on
// working.
func jsonFlag(cmd *cobra.Command, format *string) {
	flags := cmd.Flags()
	choiceFlag(cmd, flags, format, "format", "output format", "text", "json")
	flags.BoolFunc("json", "the same as --format json", func(s string) error {
		if s == "true" {
			*format = "json"
		}
		return nil
	})
	flags.Lookup("json").Hidden = true
}

// notNegative makes a flag reject numbers and durations below 0.
type notNegative struct{ pflag.Value }

func (v notNegative) Set(s string) error {
	if strings.HasPrefix(s, "-") {
		return errNegative
	}
	return v.Value.Set(s)
}

var errNegative = errors.New("expected a value that is not negative")

// negativeKey is the annotation of a flag that gives -1 a meaning.
const negativeKey = "peregrine_negative"

// refuseNegative makes all flags of a command and of its subcommands reject
// negative values, except those with negativeKey.
func refuseNegative(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "int", "float64", "duration":
			if _, may := f.Annotations[negativeKey]; !may {
				f.Value = notNegative{f.Value}
			}
		}
	})
	for _, sub := range cmd.Commands() {
		refuseNegative(sub)
	}
}

// completeFlag lets the shell complete the values of a flag.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	// The error says that the flag does not exist, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
