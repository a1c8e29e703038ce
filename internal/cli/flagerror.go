package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/nearest"
)

// flagError names the flag, its invalid value and the expected one.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		if what := expectation(f, invalid.Unwrap()); what != "" {
			return fmt.Errorf("--%s %q: expected %s", f.Name, invalid.GetValue(), what)
		}
		return fmt.Errorf("--%s: %w", f.Name, invalid.Unwrap())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		return fmt.Errorf("unknown flag: %s%s; see '%s --help'", dashed(name), meant("--", name, flagNames(cmd)), cmd.CommandPath())
	case errors.As(err, &missing):
		return fmt.Errorf("%s needs a value; see '%s --help'", dashed(missing.GetSpecifiedName()), cmd.CommandPath())
	}
	return err
}

// dashed writes a flag as on the command line.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// expectation describes the values that a flag takes; "" if the cause does not
// say. It replaces the standard library's messages about numbers.
func expectation(f *pflag.Flag, cause error) string {
	switch t := f.Value.Type(); {
	case errors.Is(cause, errNegative): // the end says it
	case errors.Is(cause, strconv.ErrRange):
		return "a smaller number"
	case t == "duration":
		return "a duration with its unit, such as 500ms, 30s or 5m"
	case t == "bool":
		return "true or false"
	case strings.HasPrefix(t, "uint"):
		return "a whole number that is not negative"
	case strings.HasPrefix(t, "int"):
		return "a whole number"
	case strings.HasPrefix(t, "float"):
		return "a number"
	}
	_, what, _ := strings.Cut(cause.Error(), "expected ")
	return what
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// unknownCommand is the error for a word where a command was expected.
func unknownCommand(cmd *cobra.Command, word string) error {
	return fmt.Errorf("unknown command %q for %q%s; see '%s --help'", word, cmd.CommandPath(), meant("", word, commandNames(cmd)), cmd.CommandPath())
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// meant suggests one of the names for a word.
func meant(prefix, word string, names []string) string {
	if name, ok := nearest.Name(word, names); ok {
		return fmt.Sprintf("; did you mean %s%s?", prefix, name)
	}
	return ""
}
