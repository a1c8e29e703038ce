package sensor

import (
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/output"
)

// When the time of day is set back by an hour, outputs.rate does not hold all
// alerts back for an hour.
func TestThrottleDespiteSetClock(t *testing.T) {
	s := &sensor{started: time.Now(), throttle: alert.NewThrottle(100, 1)}
	s.current.Store(&settings{config: &config.Config{}, outputs: &output.Set{}})
	event := time.Now()
	s.emit(&alert.Alert{Time: event.UnixNano()})
	for held := s.throttle.Held(); ; held = s.throttle.Held() {
		s.emit(&alert.Alert{Time: event.Add(-time.Hour).UnixNano()})
		if s.throttle.Held() == held {
			break // it has passed
		}
		if time.Since(event) > time.Minute {
			t.Fatalf("%d alerts were held back in a minute, with 100 a second allowed", held)
		}
		time.Sleep(time.Millisecond) // a pause of the load, nothing waits for it
	}
}
