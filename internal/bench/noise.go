package bench

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// selectNoise gives the noise actions that match; "" stands for opening and
// closing files, of which every sensor takes notice.
func selectNoise(expression string) ([]*action.Action, error) {
	if expression == "" {
		expression = "^noise.OpenClose$"
	}
	actions, err := action.Select(expression, true)
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		if a.Rule != "" {
			return nil, fmt.Errorf("%s is no noise: it fires the rule %q", a.Name, a.Rule)
		}
	}
	return actions, nil
}
