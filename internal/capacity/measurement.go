package capacity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// measurement is one row while it is measured.
type measurement struct {
	*sweep
	number, of int
	place      limit.Place
	journal    *limit.Journal
	bench      Bench // nil while no sensor is up
	row        Row
	index      int      // of the row
	search     *search  // nil before it has begun
	verdict    []string // reasons to distrust what the search has found
	began      time.Time
	restarts   int
	burden     burden // what the latest round has left in the sensor
	slowOutput bool   // an output has dropped alerts in this row
	told       bool   // of it
}

// maxRestarts is how often a sensor that ends is brought back in one row.
const maxRestarts = 5

// start brings the sensor up under the limit.
func (m *measurement) start(ctx context.Context) error {
	b, err := m.Rig.Start(ctx, func(pid int) error {
		if !m.Rig.Owned() {
			return nil
		}
		if err := m.journal.Process(pid); err != nil {
			return err
		}
		return m.place.Add(ctx, pid)
	})
	if err != nil {
		return fmt.Errorf("start the sensor with %s: %w", m.row.Limit, err)
	}
	m.bench = b
	return nil
}

func (m *measurement) close(ctx context.Context) error {
	if m.bench == nil {
		return nil
	}
	b := m.bench
	m.bench = nil
	return b.Close(ctx)
}

// settle looks at the idle sensor and warms it up. It refuses to measure what
// is not quiet, or a sensor whose alerts do not arrive.
func (m *measurement) settle(ctx context.Context) error {
	m.say("settling with %s", m.row.Limit)
	if err := m.quiet(ctx); err != nil {
		return err
	}
	for _, reason := range noise(m.row.Idle) {
		m.note(reason)
	}
	return m.warmUp(ctx, min(m.Plan.Start, warmRate))
}

// warmRate is what any sensor should take, in operations per second.
const warmRate = 500

// warmUp is a round that does not count.
func (m *measurement) warmUp(ctx context.Context, rate float64) error {
	actions, background := m.Load.Split(rate)
	warm, err := m.bench.Run(ctx, bench.Load{Rate: actions, Noise: background, Duration: m.Plan.WarmUp, Label: "warm-up"})
	if err != nil {
		return err
	}
	if why := Unusable(&warm); why != "" && !m.Force {
		return &PreflightError{why}
	}
	if actions > 0 && warm.Total.OK > 0 && warm.Total.Matched == 0 {
		return &PreflightError{fmt.Sprintf("%d actions were performed and no alert arrived%s", warm.Total.OK, findings(&warm))}
	}
	m.carry(&Trial{Round: warm, Verdict: Judge(&warm, rate, m.Plan.Partial, limit.Usage{})})
	return nil
}

// patience is how many idle rounds a busy host is given to become quiet.
const patience = 6

// quiet watches the idle sensor until the host has CPU to spare. It refuses a
// host that stays busy, and a sensor that drops events without a load.
func (m *measurement) quiet(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		idle, err := m.bench.Run(ctx, bench.Load{Duration: m.Plan.Idle, Label: "idle"})
		m.row.Idle = &idle
		if err != nil {
			return err
		}
		why := disturbed(&idle)
		switch {
		case why == "" || m.Force:
			return nil
		case attempt == patience:
			return &PreflightError{why + ": stop other load on this host, or measure anyway with --force"}
		}
		m.say("waiting for a quiet host: %s", why)
	}
}

// quietHost is the share of idle CPU without which a measurement is not begun.
const quietHost = 0.2

// disturbed says why no measurement should begin; "" if it may.
func disturbed(idle *bench.Round) string {
	o := idle.Observer
	switch {
	case idle.Sensor != nil && idle.Sensor.Drops > 0:
		return fmt.Sprintf("the sensor drops %d events while idle", idle.Sensor.Drops)
	case o.CPUs > 0 && o.HostIdle < quietHost*float64(o.CPUs):
		return fmt.Sprintf("only %.2f of %d CPUs are idle before the load", o.HostIdle, o.CPUs)
	}
	return ""
}

// findings appends what bench says about a round.
func findings(round *bench.Round) string {
	text := ""
	for _, f := range round.Findings {
		text += ": " + f.Text
	}
	if text == "" {
		return ": check that the actions' rules are loaded and that the sensor's output reaches peregrine"
	}
	return text
}

// Noise thresholds, as shares of the host.
const (
	busyWhenIdle = 0.15
	stealLimit   = 0.02
)

// noise says what disturbs a measurement, from an idle round.
func noise(idle *bench.Round) []string {
	var reasons []string
	o := idle.Observer
	if cpus := float64(o.CPUs); cpus > 0 {
		if busy := cpus - o.HostIdle; busy > busyWhenIdle*cpus {
			reasons = append(reasons, fmt.Sprintf("%.2f of %d CPUs were busy before the load began", busy, o.CPUs))
		}
		if o.HostSteal > stealLimit*cpus {
			reasons = append(reasons, fmt.Sprintf("the hypervisor took %.2f CPUs away", o.HostSteal))
		}
	}
	return reasons
}

// try performs one trial of the search, and brings the sensor back when it
// has ended.
func (m *measurement) try(ctx context.Context, phase Phase, target float64, length time.Duration) (Outcome, error) {
	began := m.Now()
	for attempt := 1; ; attempt++ {
		accident := m.Now().Sub(began)
		t, err := m.trial(ctx, phase, target, length)
		if err != nil {
			return Outcome{}, err
		}
		if !ended(t) {
			o := t.Verdict.Outcome()
			o.Accident = accident
			return o, nil
		}
		if err := m.restart(ctx); err != nil {
			return Outcome{}, err
		}
		// Killed for memory, or dead twice at the same rate: that is the load.
		if t.Limits.OOMKills > 0 || attempt == 2 {
			return t.Verdict.Outcome(), nil
		}
		if m.deadline.Sub(m.Now()) < length {
			m.note("the sensor was ended from outside, and there was no time to repeat the round")
			return t.Verdict.Outcome(), nil
		}
		m.say("the sensor ended during the round and was started again; repeating it")
		m.note("the sensor was ended from outside once, and the round was repeated")
	}
}

func ended(t *Trial) bool {
	return t.Limits.OOMKills > 0 || t.Round.Has(bench.SensorRestarted) || (t.Round.Usage != nil && t.Round.Usage.Gone)
}

func (m *measurement) restart(ctx context.Context) error {
	if !m.Rig.Owned() {
		return errors.New("the sensor has ended: start it and run the test again")
	}
	if m.restarts++; m.restarts > maxRestarts {
		return fmt.Errorf("the sensor has ended %d times under %s: giving up on it", m.restarts, m.row.Limit)
	}
	_ = m.close(ctx) // how it ended is known already
	m.burden = none
	return m.start(ctx)
}

// trial runs and judges one round, and puts it on record.
func (m *measurement) trial(ctx context.Context, phase Phase, target float64, length time.Duration) (*Trial, error) {
	if err := m.relieve(ctx, target); err != nil {
		return nil, err
	}
	m.tell(Progress{Phase: phase, Target: target, Length: length})
	before, err := m.place.Usage()
	if err != nil {
		return nil, err
	}
	actions, background := m.Load.Split(target)
	load := bench.Load{Rate: actions, Noise: background, Duration: length, Label: string(phase)}
	round, err := m.bench.Run(ctx, load)
	if errors.Is(err, generator.ErrEnded) && ctx.Err() == nil {
		m.say("%v: repeating the round", err)
		m.note("the load generator was ended from outside once, and the round was repeated")
		if _, err := m.bench.Settle(ctx, mostSettle); err != nil {
			return nil, err
		}
		round, err = m.bench.Run(ctx, load)
	}
	if err != nil {
		return nil, err
	}
	if why := Unusable(&round); why != "" {
		return nil, fmt.Errorf("the load went wrong: %s", why)
	}
	after, err := m.place.Usage()
	if err != nil {
		return nil, err
	}
	limits := after.Sub(before)
	m.row.Trials = append(m.row.Trials, Trial{Phase: phase, Target: target, Round: round, Limits: limits,
		Verdict: Judge(&round, target, m.Plan.Partial, limits)})
	t := &m.row.Trials[len(m.row.Trials)-1]
	m.carry(t)
	m.tell(Progress{Phase: phase, Target: target, Length: length, Done: t})
	return t, nil
}

func (m *measurement) say(format string, args ...any) {
	m.tell(Progress{Message: fmt.Sprintf(format, args...)})
}

func (m *measurement) tell(p Progress) {
	p.Row, p.Rows, p.Limit = m.number, m.of, m.row.Limit
	p.Left = time.Duration(m.of-m.number)*m.expected + max(0, m.expected-m.Now().Sub(m.began))
	m.progress(p)
}

// finish turns what the search has found into the row's answer.
func (m *measurement) finish(f Found) {
	r := &m.row
	r.Status, r.NDR, r.PDR = f.Status, f.NDR, f.PDR
	r.Noisy = slices.DeleteFunc(r.Noisy, func(reason string) bool { return slices.Contains(m.verdict, reason) })
	m.verdict = nil
	if f.Unsteady {
		m.verdict = append(m.verdict, "the same rate has both passed and failed")
	}
	if long := r.longFailure(); f.Status == Unconfirmed && long != nil {
		m.verdict = append(m.verdict, fmt.Sprintf("what passes in rounds of %v does not last for %v at %.0f/s, and there was no time to find what does: another run may end elsewhere",
			m.Plan.Bisect, m.Plan.Confirm, long.Verdict.Offered))
	}
	if f.Status == Confirmed && m.search.wide() {
		m.verdict = append(m.verdict, fmt.Sprintf("%.0f/s last for %v and %.0f/s do not, and there was no time to try in between", f.NDR.Lower, m.Plan.Confirm, f.NDR.Upper))
	}
	r.Noisy = append(r.Noisy, m.verdict...)
	r.Clean, r.Failed = r.find(f.NDR.LowerTrial), r.find(f.NDR.UpperTrial)
	r.Answer()
}

// longFailure is the lowest long round that was not clean; nil if there is none.
func (r *Row) longFailure() *Trial {
	var lowest *Trial
	for i := range r.Trials {
		t := &r.Trials[i]
		if t.Phase == Confirm && !t.Verdict.Clean && (lowest == nil || t.Verdict.Offered < lowest.Verdict.Offered) {
			lowest = t
		}
	}
	return lowest
}

// find returns the index on record of the search's nth trial: the record has
// some more, of rounds that were repeated because the sensor had ended.
func (r *Row) find(n int) int {
	for i := range r.Trials {
		if r.repeated(i) {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return -1
}

// Answer fills in the row's figures from its clean and its failed trial.
func (r *Row) Answer() {
	clean := r.CleanTrial()
	if clean != nil {
		r.Syscalls, r.EPS, r.Host = figures(&clean.Round)
		r.HostEstimated = clean.Round.Syscalls != nil && clean.Round.Syscalls.Estimated
	}
	r.PreDrop = r.preDrop()
	r.Factor = Explain(r.Limit, r.failures(), r.behind(), clean)
	// A sensor that had to share its CPUs with the load, or with others, may
	// take more than it could show.
	if r.Factor.Name == FactorMachine && r.Status == Confirmed {
		r.Status = AtLeast
	}
}

// failures are the trials at and above the upper bound that were not clean,
// the lowest first: what failed below it has been outvoted.
func (r *Row) failures() []*Trial {
	if r.FailedTrial() == nil {
		return nil
	}
	var failed []*Trial
	for i := range r.Trials {
		if t := &r.Trials[i]; !t.Verdict.Clean && t.Verdict.Offered >= r.NDR.Upper*0.999 && !r.repeated(i) {
			failed = append(failed, t)
		}
	}
	slices.SortStableFunc(failed, func(a, b *Trial) int { return cmp.Compare(a.Verdict.Offered, b.Verdict.Offered) })
	return failed
}

// repeated says whether trial i was ended from outside and done again.
func (r *Row) repeated(i int) bool {
	return ended(&r.Trials[i]) && i+1 < len(r.Trials) && r.Trials[i+1].Target == r.Trials[i].Target && r.Trials[i].Limits.OOMKills == 0
}

// preDrop is the pre-drop plateau of the lowest trial that dropped events
// after some clean seconds; 0 if there was none.
func (r *Row) preDrop() float64 {
	lowest, plateau := math.Inf(1), 0.0
	for i := range r.Trials {
		t := &r.Trials[i]
		if s := t.Round.Sensor; s != nil && s.Drops > 0 && s.PreDropMean > 0 && t.Verdict.Offered < lowest {
			lowest, plateau = t.Verdict.Offered, s.PreDropMean
		}
	}
	return plateau
}

// behind returns the last trial in which the generator fell behind.
func (r *Row) behind() *Trial {
	for i := len(r.Trials) - 1; i >= 0; i-- {
		if r.Trials[i].Verdict.Limited {
			return &r.Trials[i]
		}
	}
	return nil
}

// figures are the sensor's events per second, the actions per second whose
// alerts arrived, and our own count of the host's syscalls per second.
func figures(round *bench.Round) (syscalls, eps, host float64) {
	seconds := time.Duration(round.End - round.Start).Seconds()
	if round.Syscalls != nil {
		host = round.Syscalls.PerSecond
	}
	if seconds > 0 {
		eps = float64(round.Total.OK-round.Total.Late-missing(round)) / seconds
	}
	switch {
	case round.Sensor != nil && round.Sensor.Plateau > 0:
		syscalls = round.Sensor.EventsMean
	default:
		syscalls = host // a sensor without stats: ours is the only count
	}
	return syscalls, eps, host
}
