package sensor

import (
	"log/slog"
	"sync/atomic"
)

// trouble tracks failures of a file that is written repeatedly: a full disk
// must not end the sensor, nor fill its log.
type trouble struct {
	what    string // the file, for the log
	failing bool
	errors  atomic.Uint64 // since the start
}

// note logs the first of consecutive errors and their end, and counts all. It
// belongs to one goroutine.
func (t *trouble) note(log *slog.Logger, err error) {
	if err == nil {
		if t.failing {
			log.Info(t.what + " is written again")
		}
		t.failing = false
		return
	}
	t.errors.Add(1)
	if !t.failing {
		log.Error(t.what+" is not written; tried again at each interval", "error", err)
	}
	t.failing = true
}
