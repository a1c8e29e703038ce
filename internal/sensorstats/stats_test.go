package sensorstats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestWriterLine(t *testing.T) {
	var out bytes.Buffer
	w := newWriter(nopCloser{&out}, Labels([]string{"FALCO_STATS_EXTRA_RUN=a \"b\"", "PATH=/bin", "FALCO_STATS_EXTRA_=x"}))
	at := time.Unix(1795359513, 447936116)
	steps := []Counters{
		{Events: 47784238, Drops: 86992},
		{Events: 48134675, Drops: 102975},
		{Events: 48311955, Drops: 131484},
		{Events: 48323039, Drops: 131484},
	}
	for i, c := range steps {
		extra := Extra{Filtered: uint64(i), DropsByCause: Causes{Buffer: c.Drops}}
		if err := w.Write(at, c, extra); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(out.String(), "\n")
	want := `{"sample": 2, "RUN": "a \"b\"", "cur": {"events": 48134675, "drops": 102975, "preemptions": 0}, ` +
		`"delta": {"events": 350437, "drops": 15983, "preemptions": 0}, "drop_pct": 4.56088, "time": 1795359513447936116, ` +
		`"filtered": 1, "delivered": 0, "alerts": 0, "outputs_dropped": 0, "throttled": 0, ` +
		`"drops_by_cause": {"buffer": 102975, "page_fault": 0, "scratch": 0, "other": 0}},`
	if diff := cmp.Diff(want, lines[1]); diff != "" {
		t.Error(diff)
	}
	for i, percent := range []string{1: "4.56088", 2: "16.0813", 3: "0"} {
		if percent != "" && !strings.Contains(lines[i], `"drop_pct": `+percent+`, "time"`) {
			t.Errorf("line %d: want drop_pct %s in %s", i, percent, lines[i])
		}
	}
	if len(lines) != 5 || lines[4] != "" {
		t.Errorf("%d lines, want 4, each ended", len(lines)-1)
	}
}

// TestGenerations reads the same two samples in each file format.
func TestGenerations(t *testing.T) {
	gen1 := `{"sample": 7, "cur": {"events": 1000, "drops": 10, "preemptions": 1}, "delta": {"events": 400, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 8, "NODE": "a", "cur": {"events": 3000, "drops": 30, "preemptions": 1}, "delta": {"events": 2000, "drops": 20, "preemptions": 0}, "drop_pct": 1},
`
	gen2 := `{"sample":7,"syscall":{"cur":{"drop_pct":0.0,"drops":10,"events":1000,"preemptions":1},"delta":{"drop_pct":0.0,"drops":0,"events":400,"preemptions":0}}}
{"sample":7,"k8s_audit":{"cur":{"events":5},"delta":{"events":1}}}
{"sample":8,"syscall":{"cur":{"drop_pct":0.0,"drops":30,"events":3000,"preemptions":1},"delta":{"drop_pct":1.0,"drops":20,"events":2000,"preemptions":0}}}
`
	gen3 := `{"output_fields":{"evt.source":"syscall","evt.time":5000000000,"falco.num_evts":990,"scap.n_evts":1000,"scap.n_evts_prev":600,"scap.n_drops":10,"scap.n_drops_prev":10,"scap.n_preemptions":1},"sample":7}
{"output_fields":{"evt.source":"k8s_audit","evt.time":5000000000,"falco.num_evts":5},"sample":7}
{"output_fields":{"evt.source":"syscall","evt.time":6000000000,"falco.num_evts":2970,"scap.n_evts":3000,"scap.n_drops":30,"scap.n_preemptions":1,"scap.n_drops_buffer_total":25,"falco.rules.matches_total":4,"falco.outputs_queue_num_drops":2},"sample":8}
`
	plain := []Sample{
		{Number: 7, Cur: Counters{1000, 10, 1}, Delta: Counters{400, 0, 0}},
		{Number: 8, Cur: Counters{3000, 30, 1}, Delta: Counters{2000, 20, 0}},
	}
	metrics := []Sample{
		{Number: 7, Cur: Counters{1000, 10, 1}, Delta: Counters{400, 0, 0}, Time: 5e9, Stamped: true,
			Extra: &Extra{Delivered: 990, DropsByCause: Causes{Other: 10}}},
		{Number: 8, Cur: Counters{3000, 30, 1}, Delta: Counters{2000, 20, 0}, Time: 6e9, Stamped: true, Elapsed: 1e9,
			Extra: &Extra{Delivered: 2970, Alerts: 4, OutputsDropped: 2, DropsByCause: Causes{Buffer: 25, Other: 5}}},
	}
	for _, tt := range []struct {
		name, text string
		want       []Sample
	}{
		{"up to 0.32", gen1, plain},
		{"in brackets", "[\n" + gen1 + "]\n", plain},
		{"0.33", gen2, plain},
		{"0.35", gen3, metrics},
		{"unfinished last line", gen1 + `{"sample": 9, "cur": {"ev`, plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadAll(strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOurExtraKeysComeBack(t *testing.T) {
	var out bytes.Buffer
	w := newWriter(nopCloser{&out}, nil)
	extra := Extra{Filtered: 1, Delivered: 2, Alerts: 3, OutputsDropped: 4, Throttled: 5, DropsByCause: Causes{6, 7, 8, 9}}
	if err := w.Write(time.Unix(10, 0), Counters{100, 30, 0}, extra); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(time.Unix(11, 5), Counters{300, 30, 0}, extra); err != nil {
		t.Fatal(err)
	}
	got, err := ReadAll(&out)
	if err != nil {
		t.Fatal(err)
	}
	want := []Sample{
		{Number: 1, Time: 10e9, Stamped: true, Cur: Counters{100, 30, 0}, Delta: Counters{100, 30, 0}, Extra: &extra},
		{Number: 2, Time: 11e9 + 5, Stamped: true, Cur: Counters{300, 30, 0}, Delta: Counters{Events: 200}, Elapsed: 1e9 + 5, Extra: &extra},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRestartAndGap(t *testing.T) {
	text := `{"sample": 1, "cur": {"events": 100, "drops": 0, "preemptions": 0}, "delta": {"events": 100, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 4, "cur": {"events": 700, "drops": 60, "preemptions": 0}, "delta": {"events": 200, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 1, "cur": {"events": 50, "drops": 0, "preemptions": 0}, "delta": {"events": 50, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 2, "cur": {"events": 90, "drops": 0, "preemptions": 0}, "delta": {"events": 40, "drops": 0, "preemptions": 0}, "drop_pct": 0},
`
	got, err := ReadAll(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Missed    uint64
		Restarted bool
		Delta     Counters
	}
	var brs []brief
	for _, s := range got {
		brs = append(brs, brief{s.Missed, s.Restarted, s.Delta})
	}
	// The drops of the two unseen samples must not vanish.
	want := []brief{{0, false, Counters{100, 0, 0}}, {2, false, Counters{600, 60, 0}},
		{0, true, Counters{50, 0, 0}}, {0, false, Counters{40, 0, 0}}}
	if diff := cmp.Diff(want, brs); diff != "" {
		t.Error(diff)
	}
}

func TestMalformed(t *testing.T) {
	good := `{"sample": 1, "cur": {"events": 1, "drops": 0, "preemptions": 0}},` + "\n"
	for _, tt := range []struct{ text, want string }{
		{good + "hello\n" + good, "stats line 2: not a stats line"},
		{good + `{"a": 1}` + "\n", `no key "sample"`},
		{`{"sample": 1, "output_fields": {"falco.num_evts": 3, "evt.source": "syscall"}}` + "\n", "kernel_event_counters_enabled"},
	} {
		_, err := ReadAll(strings.NewReader(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ReadAll(%q) = %v, want an error with %q", tt.text, err, tt.want)
		}
	}
}

func TestFileLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats")
	old := gen1Line(1, 100)
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	now := time.Now().Add(time.Hour)
	poll := func() []uint64 {
		t.Helper()
		samples, err := r.Poll(now)
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint64
		for _, s := range samples {
			numbers = append(numbers, s.Number)
		}
		return numbers
	}
	expect := func(want ...uint64) {
		t.Helper()
		if diff := cmp.Diff(want, poll()); diff != "" {
			t.Error(diff)
		}
	}
	expect()
	line := gen1Line(2, 300)
	appendTo(t, path, line[:20])
	expect()
	appendTo(t, path, line[20:]+gen1Line(3, 500))
	expect(2, 3)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path+".1", gen1Line(4, 600)) // the sensor has not reopened yet
	appendTo(t, path, gen1Line(5, 700))
	expect(4, 5)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	expect()
	appendTo(t, path, gen1Line(6, 800))
	expect(6)
}

func TestFileStampsUnstamped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats")
	appendTo(t, path, gen1Line(1, 100))
	stamp := time.Unix(1000, 0)
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	samples, err := r.Poll(stamp.Add(70 * time.Millisecond))
	if err != nil || len(samples) != 1 {
		t.Fatal(samples, err)
	}
	if samples[0].Time != stamp.UnixNano() || samples[0].Stamped {
		t.Errorf("stamped %d (%v), want the file's time %d", samples[0].Time, samples[0].Stamped, stamp.UnixNano())
	}
}

func gen1Line(n, events int) string {
	return fmt.Sprintf(`{"sample": %d, "cur": {"events": %d, "drops": 0, "preemptions": 0}, "delta": {"events": 1, "drops": 0, "preemptions": 0}, "drop_pct": 0},`+"\n", n, events)
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPrometheus(t *testing.T) {
	var events, drops int
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "# TYPE falcosecurity_scap_n_evts_total counter\nfalcosecurity_scap_n_evts_total %d\n", events)
		fmt.Fprintf(w, "# TYPE falcosecurity_scap_n_drops_total counter\nfalcosecurity_scap_n_drops_total %d\n", drops)
		fmt.Fprint(w, "# TYPE falcosecurity_falco_rules_matches_total counter\n"+
			"falcosecurity_falco_rules_matches_total{rule_name=\"a\"} 3\nfalcosecurity_falco_rules_matches_total{rule_name=\"b\"} 4\n")
	}))
	defer server.Close()
	r := NewPrometheus(server.URL, time.Minute, server.Client())
	defer r.Close()
	now := time.Unix(100, 0)
	events, drops = 1000, 5
	first, err := r.Poll(now)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Poll(now.Add(time.Minute - 1)); err != nil || again != nil {
		t.Errorf("polled within the interval: %v, %v", again, err)
	}
	events, drops = 1700, 6
	second, err := r.Poll(now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := []Sample{
		{Number: 1, Time: 100e9, Stamped: true, Cur: Counters{1000, 5, 0}, Extra: &Extra{Alerts: 7, DropsByCause: Causes{Other: 5}}},
		{Number: 2, Time: 160e9, Stamped: true, Cur: Counters{1700, 6, 0}, Delta: Counters{700, 1, 0}, Elapsed: 60e9,
			Extra: &Extra{Alerts: 7, DropsByCause: Causes{Other: 6}}},
	}
	if diff := cmp.Diff(want, append(first, second...)); diff != "" {
		t.Error(diff)
	}
	events = 10
	third, err := r.Poll(now.Add(2 * time.Minute))
	if err != nil || len(third) != 1 || !third[0].Restarted {
		t.Errorf("counter went back: %+v, %v; want a restart", third, err)
	}
	status = http.StatusForbidden
	if _, err := r.Poll(now.Add(3 * time.Minute)); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("error %v, want the status", err)
	}
}

// As a Falco writes it: HELP and TYPE again before each series, a series again
// for each event source, drops of the buffer split by labels.
func TestPrometheusOfFalco(t *testing.T) {
	family := func(name, kind string, series ...string) string {
		var b strings.Builder
		for _, s := range series {
			fmt.Fprintf(&b, "# HELP %s https://falco.org/docs/metrics/\n# TYPE %s %s\n%s%s\n", name, name, kind, name, s)
		}
		return b.String()
	}
	text := family("falcosecurity_scap_engine_name_info", "gauge", `{engine_name="modern_bpf",evt_source="syscall"} 1`) +
		family("falcosecurity_falco_outputs_queue_num_drops_total", "counter", " 4", " 4") +
		family("falcosecurity_falco_rules_matches_total", "counter", `{priority="4",rule_name="a",tag_T1555="true"} 10`, `{priority="5",rule_name="b \"c\""} 1`) +
		family("falcosecurity_falco_rules_matches_total", "counter", `{priority="4",rule_name="a",tag_T1555="true"} 10`, `{priority="5",rule_name="b \"c\""} 1`) +
		family("falcosecurity_scap_n_evts_total", "counter", " 17613") +
		family("falcosecurity_scap_n_drops_buffer_total", "counter", `{dir="enter",drop="open"} 3`, `{dir="exit",drop="open"} 5`, `{dir="exit",drop="close"} 0`) +
		family("falcosecurity_scap_n_drops_scratch_map_total", "counter", " 1") +
		family("falcosecurity_scap_n_drops_page_faults_total", "counter", " 2") +
		family("falcosecurity_scap_n_drops_total", "counter", " 12") +
		family("falcosecurity_scap_n_evts_cpu_total", "counter", `{cpu="0"} 9000`, `{cpu="1"} 8613`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	defer server.Close()
	r := NewPrometheus(server.URL, time.Minute, server.Client())
	defer r.Close()
	got, err := r.Poll(time.Unix(100, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := []Sample{{Number: 1, Time: 100e9, Stamped: true, Cur: Counters{17613, 12, 0},
		Extra: &Extra{Alerts: 11, OutputsDropped: 4, DropsByCause: Causes{Buffer: 8, PageFault: 2, Scratch: 1, Other: 1}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text = "falcosecurity_scap_n_evts_total not-a-number\n"
	if _, err := r.Poll(time.Unix(160, 0)); err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("%v", err)
	}
}

// An endpoint that never comes to an end takes no more than its share of memory.
func TestPrometheusEndless(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil; i++ {
			fmt.Fprintf(w, "m%d 1\n", i)
		}
	}))
	defer server.Close()
	r := NewPrometheus(server.URL, time.Minute, nil)
	defer r.Close()
	leaks.Within(t, 2<<30, func() {
		if _, err := r.Poll(time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("error %v", err)
		}
	})
}

// A line without an end is no reason to read on.
func TestReadAllEndless(t *testing.T) {
	zeros, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zeros.Close()
	leaks.Within(t, maxMemory, func() {
		if _, err := ReadAll(zeros); err == nil || !strings.Contains(err.Error(), "stats line 1: more than") {
			t.Errorf("error %v", err)
		}
	})
}

func FuzzReadAll(f *testing.F) {
	f.Add(gen1Line(1, 2) + gen1Line(2, 1))
	f.Add(`{"sample":1,"output_fields":{"scap.n_evts":1,"scap.n_evts_prev":"9"}}`)
	f.Add("[]\n,,\n{\"sample\":1,\"syscall\":{}}")
	f.Fuzz(func(t *testing.T, text string) {
		leaks.Within(t, maxMemory, func() {
			samples, _ := ReadAll(strings.NewReader(text))
			for i, s := range samples {
				if i > 0 && !s.Restarted && s.Missed > 0 && s.Delta.Events > s.Cur.Events {
					t.Errorf("delta %d of a total of %d", s.Delta.Events, s.Cur.Events)
				}
			}
		})
	})
}

// maxMemory bounds the total allocation of reading a fuzzer's file of less than
// a megabyte.
const maxMemory = 64 << 20

// FuzzFile follows a file that a hostile sensor writes, of which half is there
// at first: it has the same samples as one that is read at once.
func FuzzFile(f *testing.F) {
	f.Add(gen1Line(1, 2) + gen1Line(2, 1) + "nothing\n" + gen1Line(3, 1))
	f.Add("[]\n,,\n{\"sample\":1,\"syscall\":{}}\n\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "stats")
		if err := os.WriteFile(path, []byte(text[:len(text)/2]), 0o600); err != nil {
			t.Fatal(err)
		}
		leaks.Within(t, maxMemory, func() {
			followed, err := OpenFile(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer followed.Close()
			samples, _ := followed.Poll(time.Unix(1, 0))
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			more, _ := followed.Poll(time.Unix(2, 0))
			whole, err := ReadAll(strings.NewReader(text))
			if err == nil && strings.HasSuffix(text, "\n") && len(samples)+len(more) != len(whole) {
				t.Errorf("%d and %d samples, want %d", len(samples), len(more), len(whole))
			}
		})
	})
}

// full is a disk that takes room bytes.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func (*full) Close() error { return nil }

func (f *full) Seek(int64, int) (int64, error) { return int64(f.Len()), nil }

func (f *full) Truncate(size int64) error {
	f.Buffer.Truncate(int(size))
	return nil
}

// A disk that was full leaves no torn line; the next sample is whole and
// counts from the last one that was written.
func TestWriterDiskFull(t *testing.T) {
	line := len(appendLine(nil, Sample{Number: 1, Extra: &Extra{}}, nil))
	for _, room := range []int{0, 1, line / 2, line - 1, line, line + 1, line + line/2} {
		disk := &full{room: room}
		w := newWriter(disk, nil)
		written := 0
		for i := range 5 {
			if i == 3 {
				disk.room = 1 << 20
			}
			if err := w.Write(time.Unix(int64(i), 0), Counters{Events: uint64(100 * (i + 1))}, Extra{}); err == nil {
				written++
			}
		}
		samples, err := ReadAll(strings.NewReader(disk.String()))
		if err != nil || len(samples) != written {
			t.Fatalf("room %d: %d samples, %d written, %v\n%s", room, len(samples), written, err, disk)
		}
		var sum uint64
		for i, s := range samples {
			sum += s.Delta.Events
			if s.Number != uint64(i+1) {
				t.Errorf("room %d: sample %d has number %d", room, i+1, s.Number)
			}
		}
		if sum != 500 {
			t.Errorf("room %d: the deltas add up to %d\n%s", room, sum, disk)
		}
	}
}
