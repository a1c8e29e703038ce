package advise

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Query is a question to a Prometheus for rates, each Step after the one before.
type Query struct {
	URL  string
	Step time.Duration
}

// eventRate is the rate of a counter that Falco and Peregrine export. Its range
// holds the two samples that rate needs, even if a Prometheus takes one per minute,
// as it does by default.
const eventRate = "rate(falcosecurity_scap_n_evts_total[5m])"

// maxPoints is the most points that a Prometheus returns per series
// (https://github.com/prometheus/prometheus/blob/v3.0.0/web/api/v1/api.go, "exceeded maximum resolution").
const maxPoints = 11_000

// NewQuery completes a URL: that of a Prometheus becomes a query for the rate of
// a sensor's events, and one of a range without times asks for the time over
// before now in steps
// (https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries).
func NewQuery(address string, now time.Time, over, step time.Duration) (Query, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" { // the text may have a password in it
		return Query{}, errors.New("expected the URL of a Prometheus server, or of one of its queries, such as http://prometheus:9090")
	}
	if over <= 0 || step <= 0 {
		return Query{}, fmt.Errorf("the last %v in steps of %v: both must be above 0", over, step)
	}
	if !strings.Contains(u.Path, "/api/") {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/api/v1/query_range"
	}
	q := u.Query()
	set := func(key, value string) {
		if !q.Has(key) {
			q.Set(key, value)
		}
	}
	set("query", eventRate)
	if strings.HasSuffix(u.Path, "/query_range") {
		timed := q.Has("start") || q.Has("end")
		seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
		set("end", seconds(now))
		set("start", seconds(now.Add(-over)))
		set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
		if step, err = parseStep(q.Get("step")); err != nil {
			return Query{}, err
		}
		if points := over / step; !timed && points > maxPoints {
			least := (over/maxPoints + time.Second).Truncate(time.Second)
			return Query{}, fmt.Errorf("the last %v in steps of %v are %d rates, and a Prometheus returns at most %d: expected steps of %v or more (--every)", over, step, points, maxPoints, least)
		}
	}
	u.RawQuery = q.Encode()
	return Query{u.String(), step}, nil
}

// parseStep reads seconds, or a duration as Prometheus writes it.
func parseStep(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e9 {
		return time.Duration(s * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("step %q of the query: expected a time above 0 such as 15s, or seconds", text)
	}
	return time.Duration(d), nil
}
