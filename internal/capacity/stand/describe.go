package stand

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Describe says what is tested, for the report.
func (s *Stand) Describe(context.Context) capacity.Sensor {
	d := capacity.Sensor{Kind: string(s.Kind), Rules: s.Rules, Name: "the Peregrine sensor"}
	files := s.Rules
	switch s.Kind {
	case Embedded:
		d.Command = target.Embedded(s.Dir, statsInterval, sensorArgs(s.Config, s.Rules, s.Args), nil).Command()
		if len(d.Rules) == 0 {
			d.Rules = []string{"default rules, embedded"}
			if self, err := os.Executable(); err == nil {
				files = []string{self} // which holds the rules
			}
		}
	case Falco:
		d.Name = "Falco " + cmp.Or(s.release, "of unknown version")
		d.Command = falcoConfig(&s.Options, s.release).Command
	case Running:
		d.Name = runningName(s.PID, s.Unit, s.Container, s.Pod)
	}
	if s.Config != "" {
		files = append([]string{s.Config}, files...)
	}
	d.SHA256 = digest(files)
	return d
}

func runningName(pid int, unit, container, pod string) string {
	switch {
	case unit != "":
		return "unit " + unit
	case container != "":
		return "container " + container
	case pod != "":
		return "container " + pod + " of a pod"
	}
	name, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "comm"))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}
