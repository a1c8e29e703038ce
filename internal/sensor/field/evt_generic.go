package field

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// genericFields are those of every event, of whatever source.
func genericFields() []Field {
	return []Field{
		unsigned("evt.num", Uint, AtEvent, "Number of the event, counted from 1 for each run.", func(c *Context) (uint64, bool) {
			return c.Num, true
		}),
		eventTime("evt.time", "Local time of the event with nanoseconds, as 15:04:05.000000000. JSON alerts give ns since the epoch.", false, true).with(EpochJSON),
		eventTime("evt.time.s", "Local time of the event without nanoseconds. JSON alerts give ns since the epoch.", false, false).with(EpochJSON),
		str("evt.time.iso8601", AtEvent, "Time of the event in UTC with nanoseconds, as in ISO 8601. JSON alerts give ns since the epoch.", func(c *Context) (string, bool) {
			return c.keep(append(AppendUTC(c.buf, c.Time), "+0000"...)), true
		}).with(EpochJSON),
		eventTime("evt.datetime", "Local date and time of the event with nanoseconds. JSON alerts give ns since the epoch.", true, true).with(EpochJSON),
		eventTime("evt.datetime.s", "Local date and time of the event without nanoseconds. JSON alerts give ns since the epoch.", true, false).with(EpochJSON),
		unsigned("evt.rawtime", AbsTime, AtEvent, "Time of the event in ns since the epoch.", func(c *Context) (uint64, bool) {
			return c.Time, true
		}),
		unsigned("evt.rawtime.s", AbsTime, AtEvent, "Time of the event in whole seconds since the epoch.", func(c *Context) (uint64, bool) {
			return c.Time / 1e9, true
		}),
		unsigned("evt.rawtime.ns", AbsTime, AtEvent, "Nanoseconds within the second of the event.", func(c *Context) (uint64, bool) {
			return c.Time % 1e9, true
		}),
		unsigned("evt.reltime", RelTime, AtEvent, "Time since the first event, in ns.", func(c *Context) (uint64, bool) {
			return c.after(c.first), true
		}),
		unsigned("evt.reltime.s", RelTime, AtEvent, "Time since the first event, in whole seconds.", func(c *Context) (uint64, bool) {
			return c.after(c.first) / 1e9, true
		}),
		unsigned("evt.reltime.ns", RelTime, AtEvent, "Nanoseconds of evt.reltime beyond its whole seconds.", func(c *Context) (uint64, bool) {
			return c.after(c.first) % 1e9, true
		}),
		str("evt.pluginname", AtEvent, "Name of the Falco plugin for such events, k8saudit; missing for syscalls.", func(c *Context) (string, bool) {
			return "k8saudit", c.Record != nil
		}),
		str("evt.plugininfo", AtEvent, "The audit event as compact JSON; missing for syscalls.", func(c *Context) (string, bool) {
			if c.Record == nil {
				return "", false
			}
			return c.compact(c.Record.Body), true
		}),
		str("evt.source", AtLoad, "Source of the event: syscall or k8s_audit.", func(c *Context) (string, bool) {
			return c.static().Source, true
		}),
		boolean("evt.is_async", AtLoad, "True for events that no thread caused, such as newly received container metadata.", func(c *Context) (uint64, bool) {
			if c.Record != nil {
				return 0, true
			}
			k := c.Event.Kind()
			return b2u(k == event.KindAsyncevent || k == event.KindContainer), true
		}),
		str("evt.asynctype", AtEvent, "Name of an asynchronous event, such as container.", asyncType),
		str("evt.hostname", AtEvent, "Name of the host, or FALCO_HOSTNAME if that is set.", func(c *Context) (string, bool) {
			return c.static().Hostname, true
		}),
	}
}

func eventTime(name, doc string, date, fraction bool) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) {
		return c.keep(c.clock.appendLocal(c.buf, c.Time, date, fraction)), true
	})
}

// after is the time from an earlier event to this one; 0 if there was none.
func (c *Context) after(earlier uint64) uint64 {
	if earlier == 0 || c.Time < earlier {
		return 0
	}
	return c.Time - earlier
}

func asyncType(c *Context) (string, bool) {
	if c.Record != nil {
		return "", false
	}
	switch c.Event.Kind() {
	case event.KindContainer:
		return "container", true
	case event.KindAsyncevent:
		return c.Event.Str(event.AsynceventName)
	}
	return "", false
}
