package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// canary is an action that is performed to see its alert.
type canary struct {
	session  *Session
	action   *action.Action
	index    int  // of the action, in the session
	inThread bool // its event is one of the thread that the instance names
	began    time.Time
	before   []sensorstats.Sample

	tries  []try
	result *generator.Result // of the last try
	alert  *intake.Alert
	took   time.Duration  // from the action to its alert
	delay  time.Duration  // from the event to its alert
	others []intake.Alert // of other rules, of the action's time
	peers  []*canary      // all, this one too

	foreign int           // alerts of the rule that belong to no try
	nearest time.Duration // how far the nearest of them is from a try
}

// try is one performance.
type try struct {
	generator.Instance
	run string
	// strangers are alerts within its time that name a thread that is not ours.
	strangers []intake.Alert
}

// done says that there is nothing to wait for.
func (c *canary) done() bool {
	return c.alert != nil || c.result != nil && c.result.Completed == 0
}

// perform does the action once.
func (c *canary) perform(ctx context.Context) error {
	result, err := c.session.once(ctx, c.action)
	if err != nil {
		return err
	}
	c.result = result
	for _, in := range result.Instances {
		c.tries = append(c.tries, try{Instance: in, run: result.Run})
	}
	for i := range result.Instances {
		result.Instances[i].Action = uint16(c.index)
	}
	c.session.remember(result)
	return nil
}

// kinship is whether an alert is of a try.
type kinship int

const (
	unknown  kinship = iota // the alert does not tell
	ours                    // its command line, or its thread, is the try's
	stranger                // its thread is not the try's, its command line is not told
	others                  // its command line is another process's
)

func (c *canary) kin(a *intake.Alert, t *try) kinship {
	switch {
	case !c.inThread:
		return unknown
	case a.Run != "" && t.run != "" && a.Run != t.run:
		return others
	case a.Run != "" && t.run != "", a.TID == t.TID:
		return ours
	case a.TID != 0:
		return stranger
	}
	return unknown
}

// hear takes any alert. One of the canary's rule is the canary's if it names
// the try, or if it names nobody and its time is that of the action.
func (c *canary) hear(a intake.Alert) {
	if c.done() {
		return
	}
	known, distance := false, time.Duration(1<<62)
	for i := range c.tries {
		t := &c.tries[i]
		kin, off := c.kin(&a, t), t.distance(a.Time-c.session.clock.Offset)
		inTime := off.Abs() <= c.session.o.Tolerance
		switch {
		case a.Rule != c.action.Rule:
			if inTime && (kin == ours || kin == unknown) && off.Abs() < c.fromPeers(&a) {
				c.others = append(c.others, a)
			}
			known = true
		case kin == ours && !inTime:
			c.session.offsets = append(c.session.offsets, int64(off)+c.session.clock.Offset)
			c.session.settleClock()
			known = true
			if t.distance(a.Time-c.session.clock.Offset).Abs() <= c.session.o.Tolerance {
				c.accept(a, t)
				return
			}
		case inTime && kin == stranger:
			t.strangers = append(t.strangers, a)
			known = true
			c.adopt()
		case inTime && kin != others:
			c.accept(a, t)
			return
		default:
			distance = min(distance, off.Abs())
		}
	}
	if !known {
		c.foreign++
		if c.nearest == 0 || distance < c.nearest {
			c.nearest = distance
		}
	}
}

// fromPeers is how far an alert is from the actions that it is expected of.
func (c *canary) fromPeers(a *intake.Alert) time.Duration {
	nearest := time.Duration(1 << 62)
	for _, p := range c.peers {
		if p.action.Rule != a.Rule {
			continue
		}
		for i := range p.tries {
			nearest = min(nearest, p.tries[i].distance(a.Time-c.session.clock.Offset).Abs())
		}
	}
	return nearest
}

func (c *canary) accept(a intake.Alert, t *try) {
	c.alert, c.took, c.delay = &a, time.Duration(a.Received-t.Start), time.Duration(a.Received-a.Time+c.session.clock.Offset)
	if a.Hostname != "" {
		c.session.hostname = a.Hostname
	}
}

// adopt accepts alerts with unknown thread ids as expected ones, if the sensor
// numbers threads differently: no alert had a known id, and each of several tries
// had one at its exact time.
func (c *canary) adopt() {
	for i := range c.tries {
		if len(c.tries[i].strangers) != 1 {
			return
		}
	}
	if len(c.tries) < agreeing {
		return
	}
	last := &c.tries[len(c.tries)-1]
	c.accept(last.strangers[0], last)
	c.session.actions[c.index].InThread = false
}

// adopted says that the alert names a thread that is not ours.
func (c *canary) adopted() bool {
	return c.alert != nil && c.inThread && !c.session.actions[c.index].InThread
}

// distance is how far an event's time is outside of the try: negative before,
// positive after, 0 within.
func (t *try) distance(at int64) time.Duration {
	switch {
	case at < t.Start:
		return time.Duration(at - t.Start)
	case at > t.End:
		return time.Duration(at - t.End)
	}
	return 0
}

// check says whether the alert arrived; if not, it lists the attempts and the
// reason. A reason that was not checked is worded as a question.
func (c *canary) check() (status, text string) {
	rule := c.action.Rule
	counts := c.session.o.Target.Alerts().Traffic()
	switch {
	case c.alert != nil:
		return CheckOK, fmt.Sprintf("alert of rule %q after %s%s", rule, human.Duration(c.took), c.attempts())
	case c.result == nil:
		return CheckFail, "was not performed: the sensor has ended"
	case c.result.Skipped > 0:
		return CheckFail, fmt.Sprintf("cannot be done here: %s; leave it out", c.why())
	case c.result.Failed > 0:
		return CheckFail, fmt.Sprintf("failed: %s", c.why())
	}
	tried := fmt.Sprintf("performed %d times in %s without an alert of rule %q", len(c.tries), human.Duration(time.Since(c.began)), rule)
	switch {
	case len(c.others) > 0:
		return CheckFail, fmt.Sprintf("%s: it is shadowed: the event raised %q instead; Falco gives one alert per event (rule_matching: first): load the rule before the other, or leave the action out", tried, c.others[0].Rule)
	case throttled(c.before, c.session.Samples()):
		return CheckFail, tried + ", and the sensor's rate limit withheld alerts meanwhile: set outputs.rate to 0"
	case counts.Alerts == 0 && counts.Malformed > 0:
		return CheckFail, tried + ": what arrives is not an alert: " + counts.LastError
	case counts.Alerts == 0 && c.session.o.Target.Stats() != nil && c.session.moved():
		return CheckFail, fmt.Sprintf("%s, and none of any other, though the sensor sees events (%s): %s If so, does it write alerts to where bench reads (see --alerts), as JSON?", tried, c.session.counted(), c.question())
	case counts.Alerts == 0:
		return CheckFail, tried + ": no alert of any rule has ever arrived: does the sensor write to where bench reads (see --alerts), as JSON?"
	case c.foreign > 0:
		return CheckFail, fmt.Sprintf("%s of its own: %d came, the nearest %s from an action's time: another process raises them, or the clocks differ; let alerts carry thread.tid to tell (append_output)", tried, c.foreign, human.Duration(c.nearest))
	}
	return CheckFail, fmt.Sprintf("%s, though %d other alerts arrived: %s", tried, counts.Alerts, c.question())
}

func (c *canary) attempts() string {
	if len(c.tries) < 2 {
		return ""
	}
	return fmt.Sprintf(", of %d tries in %s", len(c.tries), human.Duration(time.Since(c.began)))
}

// question asks for the likely reason, by the catalogue.
func (c *canary) question() string {
	switch {
	case c.action.RuleOff:
		return "upstream has the rule disabled; is it enabled in this sensor?"
	case c.action.RuleSet != action.Stable:
		return fmt.Sprintf("the rule is in upstream's %s rules, not in the default ones; is that file loaded?", c.action.RuleSet)
	}
	return "is the rule loaded and enabled in this sensor, of a priority that it prints, and without an exception for this process?"
}

func (c *canary) why() string {
	if len(c.result.Actions) == 0 {
		return "no reason given"
	}
	a := c.result.Actions[0]
	if a.Why != "" {
		return a.Why
	}
	for errno := range a.Errnos {
		return errno.Error()
	}
	return "no reason given"
}

// throttled says whether alerts were withheld between two moments.
func throttled(before, now []sensorstats.Sample) bool {
	if len(now) == 0 || now[len(now)-1].Extra == nil {
		return false
	}
	first := uint64(0)
	if len(before) > 0 && before[len(before)-1].Extra != nil {
		first = before[len(before)-1].Extra.Throttled
	}
	return now[len(now)-1].Extra.Throttled > first
}
