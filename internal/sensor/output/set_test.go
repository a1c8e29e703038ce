package output

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestNoOutput(t *testing.T) {
	_, err := Open(quiet(), Options{Log: (&logs{}).logger()})
	if err == nil || !strings.HasPrefix(err.Error(), "No output configured") {
		t.Errorf("error %v", err)
	}
}

// A new configuration leaves channels alone that it does not change, and a
// bad one changes nothing.
func TestApply(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	c := fileConfig(one, true)
	s, _ := open(t, c)
	sendNumbered(s, 0, 10)

	bad := fileConfig("/nonexistent/x", true)
	if err := replace(s, bad); err == nil {
		t.Error("a bad configuration is accepted")
	}
	sendNumbered(s, 10, 20)

	same := fileConfig(one, true)
	same.Program = config.ProgramOutput{Enabled: true, KeepAlive: true, Program: "cat > " + two}
	if err := replace(s, same); err != nil {
		t.Fatal(err)
	}
	sendNumbered(s, 20, 30)
	if a, b := s.entries[0].channel, s.latest().entries[0].channel; a != b {
		t.Error("the unchanged channel was opened anew")
	}

	moved := fileConfig(two+".moved", true)
	if err := replace(s, moved); err != nil {
		t.Fatal(err)
	}
	sendNumbered(s, 30, 40)
	closeClean(t, s)
	// Counters belong to the name: they outlive settings, and the channel.
	if got := statsOf(t, s, "file"); got.Alerts != 40 || got.Sent != 40 {
		t.Errorf("counts after the channel was replaced: %+v", got)
	}
	if got := statsOf(t, s, "program"); got.Alerts != 10 || got.Sent != 10 || got.Capacity != 0 {
		t.Errorf("counts after the channel was removed: %+v", got)
	}
	wantLines(t, one, numberedLines(0, 30))
	wantLines(t, two, numberedLines(20, 30))
	wantLines(t, two+".moved", numberedLines(30, 40))
}

// A discarded set leaves nothing behind, and the channels in force do not
// change.
func TestDiscard(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	changed := *c
	changed.GRPC.Threadiness = 3
	changed.Program = config.ProgramOutput{Enabled: true, KeepAlive: true, Program: "exit 1"}
	for range 3 {
		next, err := s.Prepare(&changed)
		if err != nil {
			t.Fatal(err)
		}
		s.Discard(next)
	}
	sub := subscribe(t, client(t, address, nil))
	sendNumbered(s, 0, 10)
	sub.want(t, numberedLines(0, 10))
	if stats := s.Stats(); len(stats) != 1 {
		t.Errorf("%+v", stats)
	}
}

// The gRPC channel keeps its address when other keys of it change, and stays
// as it is if its successor cannot start.
func TestApplyGRPC(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	changed := *c
	changed.GRPC.Threadiness = 3
	if err := replace(s, &changed); err != nil {
		t.Fatal(err)
	}
	bad := changed
	bad.GRPC.BindAddress, bad.GRPC.CertChain = "127.0.0.1:0", "/missing"
	if err := replace(s, &bad); err == nil {
		t.Error("a bad certificate is accepted")
	}
	sub := subscribe(t, client(t, address, nil))
	sendNumbered(s, 0, 10)
	sub.want(t, numberedLines(0, 10))
}

// The memory of alerts that every channel is done with becomes other alerts,
// and no sooner: a receiver that refuses keeps its channel behind the others.
func TestRecycledAlerts(t *testing.T) {
	const n = 20_000
	r := &receiver{answer: func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n%97 == 5 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n%97 != 5
	}}
	dir := t.TempDir()
	c := fileConfig(filepath.Join(dir, "file"), true)
	c.Program = config.ProgramOutput{Enabled: true, KeepAlive: true, Program: "cat > " + filepath.Join(dir, "program")}
	c.HTTP = httpConfig(serveHTTP(t, r)).HTTP
	s, _ := open(t, c)
	f, err := alert.New(alert.Rule{Name: "a rule", Source: "syscall"}, "%evt.num of "+strings.Repeat("x", 200), alert.Options{LineOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	closing := fieldtest.New(t, fieldtest.Proc{PID: 14, PPID: 1, Comm: "cat"}).Event(t, 14, event.KindClose)
	var want []string
	for i := range n {
		closing.Reset()
		closing.Num = uint64(i)
		a := f.Format(closing)
		want = append(want, string(a.Line))
		s.Send(a)
	}
	closeClean(t, s)
	wantLines(t, filepath.Join(dir, "file"), want)
	wantLines(t, filepath.Join(dir, "program"), want)
	got := r.got() // refused alerts are sent again, after others
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("http: %d alerts of %d, or others; first difference near %q", len(got), n, firstDifference(got, want))
	}
}

// A thousand reloads under load: every alert is in one of the files, and no
// descriptor is left over.
func TestApplyUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, fileConfig(filepath.Join(dir, "0"), true))
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := descriptors()
	stop, sent := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
				s.Send(numbered(n))
				n++
				time.Sleep(20 * time.Microsecond) // a rate, not a wait
			}
		}
	}()
	for i := 1; i <= 1000; i++ {
		if err := replace(s, fileConfig(filepath.Join(dir, strconv.Itoa(i%7)), true)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	n := <-sent
	if after := descriptors(); after > before+1 {
		t.Errorf("%d descriptors before, %d after 1000 reloads", before, after)
	}
	closeClean(t, s)
	lines := 0
	for i := range 7 {
		lines += len(readLines(t, filepath.Join(dir, strconv.Itoa(i))))
	}
	if lines != n {
		t.Errorf("%d alerts sent, %d written", n, lines)
	}
}

// The rate of the published capacity test's machine, many times over, to
// three channels at once; every alert is accounted for. PEREGRINE_LOAD is
// RATE or RATE,SECONDS, for measuring by hand.
func TestLoad(t *testing.T) {
	rate, seconds := 20_000, 1
	if load := os.Getenv("PEREGRINE_LOAD"); load != "" {
		r, s, _ := strings.Cut(load, ",")
		rate, _ = strconv.Atoi(r)
		if n, err := strconv.Atoi(s); err == nil {
			seconds = n
		}
	}
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	c, address := grpcConfig(t)
	c.HTTP.Enabled, c.HTTP.URL = true, server.URL
	path := filepath.Join(t.TempDir(), "events")
	c.File = config.FileOutput{Enabled: true, KeepAlive: true, Filename: path}
	c.OutputTimeout = 2000
	s, log := open(t, c)
	sub := subscribe(t, client(t, address, nil))
	needs.Eventually(t, "the stream", func() bool { return len(statsOf(t, s, "grpc").Streams) == 1 })

	before, start := cpuTime(), time.Now()
	n := rate * seconds
	for i := range n {
		if ahead := time.Duration(i)*time.Second/time.Duration(rate) - time.Since(start); ahead > time.Millisecond {
			time.Sleep(ahead) // the rate of the alerts
		}
		a := numbered(i)
		if len(a.Line) < 600 { // as long as an alert of the default rules
			a.Line = append(a.Line, make([]byte, 600-len(a.Line))...)
			for j := range a.Line {
				a.Line[j] = max(a.Line[j], ' ')
			}
		}
		s.Send(a)
	}
	took := time.Since(start)
	closeClean(t, s)
	used := cpuTime() - before
	for _, stats := range s.Stats() {
		if stats.Sent != uint64(n) || stats.Dropped != 0 {
			t.Errorf("%s: sent %d dropped %d of %d; %s", stats.Name, stats.Sent, stats.Dropped, n, log)
		}
		t.Logf("%s: latency p50 <= %v p99 <= %v p99.9 <= %v", stats.Name, stats.Latency.Quantile(.5), stats.Latency.Quantile(.99), stats.Latency.Quantile(.999))
	}
	needs.Eventually(t, "all by gRPC", func() bool { return len(sub.got()) == n })
	if got := len(r.got()); got != n {
		t.Errorf("http: %d of %d", got, n)
	}
	if got := len(readLines(t, path)); got != n {
		t.Errorf("file: %d of %d", got, n)
	}
	t.Logf("%d alerts in %v, %.2f CPUs for senders and receivers", n, took.Round(time.Millisecond), used.Seconds()/took.Seconds())
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
