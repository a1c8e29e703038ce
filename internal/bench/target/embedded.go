package target

import (
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Sensor is our own sensor: this binary again, as a process of its own so that
// its cost can be told from bench's.
type Sensor struct {
	Dir      string        // of its stats
	Interval time.Duration // of its stats
	Args     []string      // more of its flags, such as rule files
	CPUs     float64       // its limit, 0 for none
	Log      io.Writer     // gets its messages; nil for none
}

// Embedded prepares our own sensor.
func Embedded(s Sensor) *Process {
	file := filepath.Join(s.Dir, "sensor-stats.json")
	command := []string{"/proc/self/exe", "sensor",
		"-o", "json_output=true",
		"-o", "stdout_output.enabled=true",
		"-o", "syslog_output.enabled=false",
		"-o", "webserver.enabled=false",
		"-o", "append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}",
		"-s", file, "--stats-interval", fmt.Sprint(s.Interval.Milliseconds()),
	}
	return NewProcess(Config{Command: append(command, s.Args...), Ready: "ready", StatsFile: file, CPUs: s.CPUs, Log: s.Log})
}
