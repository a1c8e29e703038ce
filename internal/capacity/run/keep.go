package run

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// keeper is a sweep.Observer that writes rows to disk as they arrive. A full
// disk does not end the measurement: it is reported once, and tried again with
// the next row.
type keeper struct {
	*Options
	result *capacity.Result
	failed int // times that the rows could not be kept
	last   error
}

func (k *keeper) Progress(p sweep.Progress) {
	if k.Options.Progress != nil {
		k.Options.Progress(p)
	}
}

func (k *keeper) Keep(rows []capacity.Row) {
	k.result.Rows, k.result.Ended, k.result.Partial = rows, k.Now(), true
	diagnose.Complete(k.result)
	err := Save(k.Dir, k.result)
	if err == nil {
		return
	}
	if k.failed++; k.failed == 1 {
		k.Say("the rows measured so far cannot be kept, and the measurement goes on: %v", err)
	}
	k.last = err
}

// notes reports in the result the rows that could not be written meanwhile.
func (k *keeper) notes() []string {
	if k.failed == 0 {
		return nil
	}
	return []string{fmt.Sprintf("rows could not be written to disk %d times during the run: %v", k.failed, k.last)}
}
