package target

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
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
	p := NewProcess(Config{Command: append(command, s.Args...), Ready: "ready", StatsFile: file, CPUs: s.CPUs, Log: s.Log})
	p.lists = true
	return p
}

// Rules are the names of the rules that are enabled in a sensor of our own that
// has not started; nil if that is not known, as of others.
func (p *Process) Rules(ctx context.Context) []string {
	if !p.lists {
		return nil
	}
	out, err := exec.CommandContext(ctx, p.config.Command[0], slices.Concat(p.config.Command[1:], []string{"-L"})...).Output()
	if err != nil {
		return nil // starting it tells why
	}
	var listed struct {
		Rules []struct {
			Info struct {
				Name    string
				Enabled bool
			}
		}
	}
	if json.Unmarshal(out, &listed) != nil {
		return nil
	}
	names := []string{} // no rule is known to be enabled, unlike nil
	for _, r := range listed.Rules {
		if r.Info.Enabled {
			names = append(names, r.Info.Name)
		}
	}
	return names
}
