package stand

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// Describe describes the sensor under test, for the report.
func (s *Stand) Describe(ctx context.Context) capacity.Sensor {
	d := capacity.Sensor{Kind: string(s.Kind), Rules: s.Rules, Name: "the Peregrine sensor"}
	files := s.Rules
	switch s.Kind {
	case Embedded:
		d.Command = s.embedded(0).Command()
		if len(d.Rules) == 0 {
			d.Rules = []string{"default rules, embedded"}
			if self, err := os.Executable(); err == nil {
				files = []string{self} // which holds the rules
			}
		}
	case Falco:
		d.Name = "Falco " + cmp.Or(s.falco.release, "of unknown version")
		d.Command = falcoConfig(&s.Options, s.falco).Command
	case Running:
		d.Name, d.Rules = s.running(ctx)
	}
	if s.Config != "" {
		files = append([]string{s.Config}, files...)
	}
	d.SHA256 = digest(files)
	return d
}

// running names a running sensor, and its rule files. The error of a missing
// process is returned when it is limited.
func (s *Stand) running(ctx context.Context) (name string, rules []string) {
	pid, where := s.PID, ""
	switch {
	case s.Unit != "":
		where = "unit " + s.Unit
		pid, _ = limit.UnitPID(ctx, s.Host, s.Unit)
	case s.Container != "":
		where = "container " + s.Container
		pid, _ = limit.ContainerPID(ctx, s.DockerSocket, s.Container)
	case s.Pod != "":
		return "container " + s.Pod + " of a pod", nil
	}
	if pid == 0 {
		return where, nil
	}
	i := target.Identify(ctx, pid, nil)
	name = fmt.Sprintf("%s (process %d)", strings.TrimSpace(i.Name+" "+i.Version), pid)
	if where != "" {
		name += " of " + where
	}
	return name, i.Rules
}
