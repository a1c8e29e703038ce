package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// site is a node that is measured.
type site struct {
	*run
	node   node
	result *capacity.Result
	at     int            // row that is measured, from 0
	copy   *pod           // that runs; nil before the first
	given  capacity.Limit // which it has
}

// measure measures all limits on one node, and puts it back.
func (r *run) measure(ctx context.Context, name string) (Node, error) {
	s := &site{run: r, result: &capacity.Result{Schema: capacity.Schema, Started: r.Now(), Command: r.Command}}
	n := Node{Name: name, Today: today(r.sensor.Resources), Sensor: Target{r.set.Metadata.Namespace, r.set.Metadata.Name, r.Container}}
	if err := s.look(ctx, name); err != nil {
		return n, err
	}
	n.Kind = s.node.kind()
	limits, err := s.limits()
	if err != nil {
		return n, err
	}
	if _, err := s.original(ctx); err != nil {
		return n, err
	}
	for _, note := range s.result.Notes {
		s.Say("note: %s", note)
	}
	n.Result = s.result
	err = s.rows(ctx, limits)
	s.result.Ended, s.result.Partial = r.Now(), err != nil
	diagnose.Complete(s.result)
	return n, errors.Join(err, s.restore(ctx))
}

// look reads the node, and refuses one where nothing can be measured.
func (s *site) look(ctx context.Context, name string) error {
	s.node = node{}
	err := s.Client.Get(ctx, kubeapi.In("api/v1", "", "nodes", name), &s.node)
	if kubeapi.Is(err, 404) {
		return refuse("there is no node %s%s", name, similar(ctx, s.Client, "/api/v1/nodes", name))
	}
	if err != nil {
		return err
	}
	if why := s.node.unfit(); why != "" {
		return refuse("node %s: %s", name, why)
	}
	if taint := s.set.repels(&s.node); taint != "" {
		return refuse("node %s has the taint %s, which DaemonSet %s does not tolerate: a pod that is deleted there does not come back", name, taint, s.set.name())
	}
	return nil
}

// still says why there is nothing more to be measured on the node.
func (s *site) still(ctx context.Context) error {
	if err := s.look(ctx, s.name()); err != nil {
		return err
	}
	var there struct{ Metadata meta }
	err := s.Client.Get(ctx, kubeapi.In("api/v1", "", "namespaces", s.Namespace), &there)
	if kubeapi.Is(err, 404) || err == nil && there.Metadata.DeletionTimestamp != nil {
		return refuse("namespace %s of the load was deleted", s.Namespace)
	}
	return err
}

func (s *site) name() string { return s.node.Metadata.Name }

// rows measures one limit after the other. One that fails does not keep the
// others from being measured, unless the node is to blame.
func (s *site) rows(ctx context.Context, limits []capacity.Limit) error {
	for i := range s.total() {
		l := limits[i%len(limits)]
		s.Say("[%d/%d] %s  %s  the sensor gets its limit", i+1, s.total(), s.name(), l)
		row, err := s.row(ctx, i, l)
		if ctx.Err() != nil {
			return cmp.Or(lost(ctx), ctx.Err())
		}
		if _, ok := errors.AsType[*sweep.PreflightError](err); ok {
			return err
		}
		if err != nil {
			row = &capacity.Row{Limit: l, Status: capacity.Failed, Error: err.Error(), Clean: -1, Failed: -1}
			s.Say("[%d/%d] %s  %s  failed: %v", i+1, s.total(), s.name(), l, err)
		}
		row.Repeat = 1 + i/len(limits)
		s.result.Rows = append(s.result.Rows, *row)
		s.tell(ctx, "CapacityMeasured", fmt.Sprintf("node %s, %s: %s", s.name(), l, row.Status))
		if err := s.still(ctx); err != nil {
			return fmt.Errorf("it changed meanwhile: %w", err)
		}
	}
	for i := range s.result.Rows {
		if s.result.Rows[i].Status != capacity.Failed {
			return nil
		}
	}
	return fmt.Errorf("no limit could be measured: %s", s.result.Rows[0].Error)
}

// total is how many rows a node has.
func (s *site) total() int { return len(s.Limits) * max(1, s.Repeat) }

// limits are those that the node can give: a CPU limit is capped, and a memory
// limit that no process could use is refused.
func (s *site) limits() (fit []capacity.Limit, err error) {
	for _, l := range s.Limits {
		if most := s.node.cpus(); l.CPU > most {
			s.note("%s CPU is more than node %s gives to pods: measured with %s", human.CPUs(l.CPU), s.name(), human.CPUs(most))
			l.CPU = most
		}
		if most := s.node.memory(); l.Memory > most {
			return nil, refuse("%s is more memory than node %s gives to pods, %s: choose smaller limits with --memory", l.MemoryString(), s.name(), capacity.Limit{Memory: most}.MemoryString())
		}
		fit = append(fit, l)
	}
	return fit, nil
}

func (s *site) note(format string, args ...any) {
	s.result.Notes = append(s.result.Notes, fmt.Sprintf(format, args...))
}

// ofRow matches the part of a load's progress that counts its single row.
var ofRow = regexp.MustCompile(`^\[1/1\] |  \(about \S+ left\)$`)

// row measures one limit.
func (s *site) row(ctx context.Context, number int, l capacity.Limit) (*capacity.Row, error) {
	s.at = number
	p, err := s.limit(ctx, l)
	if err != nil {
		return nil, err
	}
	job := load{
		run: s.id, sensor: s.set.label(), namespace: s.Namespace, node: s.name(), image: s.Image, pullPolicy: s.PullPolicy, limit: l,
		container: p.container(s.Container).ContainerID, alerts: alertsURL("0.0.0.0", s.Port), stats: s.stats(p), flags: s.Flags, length: s.Row,
	}
	if s.Socket {
		job.alerts = "grpc:" + socketPath
	}
	began := s.Now()
	found, err := s.perform(ctx, job, func(line string) {
		if strings.HasPrefix(line, "report: ") || strings.HasPrefix(line, "Error: ") {
			return // a file of the load's container; the row says it too
		}
		left := time.Duration(s.total()-number)*s.Row - s.Now().Sub(began)
		s.Say("[%d/%d] %s  %s  (about %v left)", number+1, s.total(), s.name(), ofRow.ReplaceAllString(line, ""), max(0, left).Round(10*time.Second))
	})
	if err != nil {
		return nil, err
	}
	if len(found.Rows) == 0 {
		return nil, errors.New("the load ended without a row")
	}
	s.adopt(found)
	return &found.Rows[0], nil
}

// adopt takes over the machine and the method from a Job's result.
func (s *site) adopt(found *capacity.Result) {
	if len(s.result.Sensors) > 0 {
		return
	}
	s.result.Environment, s.result.Method, s.result.Sensors = found.Environment, found.Method, found.Sensors
	s.result.Environment.Hostname = s.name()
	for i := range s.result.Sensors {
		s.result.Sensors[i].Name = fmt.Sprintf("DaemonSet %s, %s", s.set.name(), s.sensor.Image)
	}
}

// stats is where a pod's sensor tells its statistics.
func (s *site) stats(p *pod) string {
	if port := s.sensor.metricsPort(s.release); port != 0 {
		return alertsURL(p.Status.PodIP, port) + "/metrics"
	}
	return "file:" + statsPath
}
