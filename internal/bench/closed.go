package bench

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// closedLoop is event-generator's schedule: a pause before each action.
func closedLoop(sleep time.Duration) pace.Pacer { return pace.Sleep{For: sleep} }
