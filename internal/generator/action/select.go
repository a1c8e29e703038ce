package action

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// All returns the catalogue, sorted by name. Do not change it.
func All() []*Action { return catalogue }

// Lookup finds an action by its full name; one that replays a syscall too.
func Lookup(name string) (*Action, bool) {
	i, found := slices.BinarySearchFunc(catalogue, name, func(a *Action, name string) int {
		return strings.Compare(a.Name, name)
	})
	if !found {
		return lookupReplayed(name)
	}
	return catalogue[i], true
}

// Select returns the actions whose full name matches the unanchored regular
// expression, sorted; "" stands for all that are not noise. Without all,
// actions that are disabled by default are left out, and it is an error if
// nothing remains.
func Select(expression string, all bool, exclude ...string) ([]*Action, error) {
	matching, err := matches(expression, exclude)
	if err != nil {
		return nil, err
	}
	enabled := slices.DeleteFunc(slices.Clone(matching), func(a *Action) bool { return !all && !a.Default })
	if len(matching) == 0 {
		return nil, fmt.Errorf("no events matching '%s'%s", expression, butExcluded(exclude))
	}
	if len(enabled) == 0 {
		return nil, fmt.Errorf("no enabled events matching '%s': %s is disabled by default, add --all", expression, names(matching))
	}
	return enabled, nil
}

// LeftOut names the actions that match and that Select leaves out because they
// are disabled by default; none for "", which asks for nothing by name.
func LeftOut(expression string, exclude ...string) []string {
	matching, err := matches(expression, exclude)
	if err != nil || expression == "" {
		return nil
	}
	var left []string
	for _, a := range matching {
		if !a.Default {
			left = append(left, a.Name)
		}
	}
	return left
}

// matches are the actions that match and are not excluded, enabled or not.
func matches(expression string, exclude []string) ([]*Action, error) {
	match, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("actions %q: %w", expression, err)
	}
	var not []*regexp.Regexp
	for _, x := range exclude {
		re, err := regexp.Compile(x)
		if err != nil {
			return nil, fmt.Errorf("excluded actions %q: %w", x, err)
		}
		not = append(not, re)
	}
	var matching []*Action
	for _, a := range catalogue {
		if !match.MatchString(a.Name) || expression == "" && a.Collection() == "noise" ||
			slices.ContainsFunc(not, func(re *regexp.Regexp) bool { return re.MatchString(a.Name) }) {
			continue
		}
		matching = append(matching, a)
	}
	return matching, nil
}

func butExcluded(exclude []string) string {
	if len(exclude) == 0 {
		return ""
	}
	return fmt.Sprintf(" without those matching '%s'", strings.Join(exclude, "', '"))
}

func names(actions []*Action) string {
	if len(actions) > 3 {
		return fmt.Sprintf("each of the %d actions", len(actions))
	}
	var list []string
	for _, a := range actions {
		list = append(list, a.Name)
	}
	return strings.Join(list, ", ")
}
