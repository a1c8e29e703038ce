package intake

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is an alert in Falco's shape, of the size that rules of today give.
const sample = `{"hostname":"node-7","output":"12:00:00.000000001: Warning A file with a \"quoted\" name was read | file=/etc/x\\ gparent=bash ggparent=sshd user=root process=cat command=cat /etc/x terminal=0 container_id=host container_name=host container_image_repository= k8s_pod_name=<NA>","output_fields":{"container.id":"host","container.name":"host","evt.time":1700000000123456789,"evt.type":"openat","fd.name":"/etc/x","k8s.ns.name":null,"proc.aname[2]":"bash","proc.cmdline":"cat /etc/x","proc.name":"cat","proc.pid":4711,"proc.tty":0,"thread.tid":4712,"user.loginuid":-1,"user.name":"root","user.uid":0},"priority":"Warning","rule":"Some file read","source":"syscall","tags":["container","filesystem","host"],"time":"2023-11-14T22:13:20.123456789Z"}`

func TestDecode(t *testing.T) {
	full := Alert{Time: 1700000000123456789, Rule: "Some file read", Priority: "Warning", Source: "syscall", Hostname: "node-7", PID: 4711, TID: 4712, Run: Stranger}
	for _, tt := range []struct {
		name, text string
		want       Alert
	}{
		{"complete", sample, full},
		{"spaces", " {\t\"rule\" : \"r\" , \"time\" :\"1970-01-01T00:00:00.000000005Z\"\r} ", Alert{Rule: "r", Time: 5}},
		{"time zone", `{"rule":"r","time":"1970-01-01T01:00:01+01:00"}`, Alert{Rule: "r", Time: 1e9}},
		{"time zone without a colon", `{"rule":"r","time":"1970-01-01T01:00:01.000000002+0100"}`, Alert{Rule: "r", Time: 1e9 + 2}},
		{"time of no form, not needed", `{"rule":"r","time":"Thu Jan  1 1970","output_fields":{"evt.time":7}}`, Alert{Rule: "r", Time: 7}},
		{"ISO time of the event", `{"rule":"r","output_fields":{"evt.time.iso8601":7}}`, Alert{Rule: "r", Time: 7}},
		{"ISO time as text", `{"rule":"r","output_fields":{"evt.time.iso8601":"1970-01-01T00:00:00Z"},"time":"1970-01-01T00:00:01Z"}`, Alert{Rule: "r", Time: 1e9}},
		{"quoted numbers", `{"rule":"r","output_fields":{"evt.time":"7","thread.tid":"8"}}`, Alert{Rule: "r", Time: 7, TID: 8}},
		{"fields are null", `{"rule":"r","output_fields":null,"time":"1970-01-01T00:00:01Z"}`, Alert{Rule: "r", Time: 1e9}},
		{"nested", `{"x":{"rule":"no","a":[1,{"b":"}]"}]},"rule":"r","output_fields":{"evt.time":9,"y":[{"thread.tid":3}]}}`, Alert{Rule: "r", Time: 9}},
		{"our run", `{"rule":"r","output_fields":{"evt.time":7,"proc.cmdline":"peregrine peregrine-run=4f2a x"}}`, Alert{Rule: "r", Time: 7, Run: "4f2a"}},
		{"no command line", `{"rule":"r","output_fields":{"evt.time":7,"proc.cmdline":null}}`, Alert{Rule: "r", Time: 7}},
		{"escapes", `{"rule":"a \"b\" \u00e9\\","output_fields":{"evt.time":9}}`, Alert{Rule: `a "b" é\`, Time: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Alert
			if err := newDecoder(false).decode([]byte(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"12:00:00: Warning something", "json_output: true"},
		{"", "json_output: true"},
		{`{"time":"1970-01-01T00:00:01Z"}`, `no "rule"`},
		{`{"rule":"r"}`, "evt.time"},
		{`{"rule":"r","time":"yesterday"}`, "RFC 3339"},
		{`{"rule":"r","time":`, "ends within a value"},
		{`{"rule":"r`, "ends within a value"},
		{`{"rule" "r"}`, "expected a ':'"},
		{`{"a":}`, "at byte 5: expected a value"},
		{`{"a":{"b":1}`, "ends within a value"},
	} {
		var a Alert
		err := newDecoder(false).decode([]byte(tt.text), &a)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("decode(%q) = %v, want an error with %q", tt.text, err, tt.want)
		}
	}
}

// reference is the alert by the standard library.
func reference(text []byte) (a Alert, ok bool) {
	var v struct {
		Rule, Priority, Source, Hostname string
		Time                             time.Time
		Fields                           map[string]json.RawMessage `json:"output_fields"`
	}
	if json.Unmarshal(text, &v) != nil {
		return a, false
	}
	n := func(key string) int64 {
		i, _ := strconv.ParseInt(strings.Trim(string(v.Fields[key]), `"`), 10, 64)
		return i
	}
	a = Alert{Time: n("evt.time"), Rule: v.Rule, Priority: v.Priority, Source: v.Source, Hostname: v.Hostname,
		PID: int32(n("proc.pid")), TID: int32(n("thread.tid"))}
	if a.Time == 0 {
		a.Time = n("evt.time.iso8601")
	}
	if a.Time == 0 && !v.Time.IsZero() {
		a.Time = v.Time.UnixNano()
	}
	return a, a.Rule != "" && a.Time != 0
}

// FuzzDecode: whatever the standard library accepts as an alert must be read
// the same way; and nothing may panic.
func FuzzDecode(f *testing.F) {
	f.Add(sample)
	f.Add(`{"rule":"\\","output_fields":{"evt.time":1,"thread.tid":-2,"a\"b":"\\"}}`)
	f.Add(`{"rule":"r","time":"1970-01-01T00:00:01Z","x":[[],{},"",null,true,1e3]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var got Alert
		err := newDecoder(false).decode([]byte(text), &got)
		want, ok := reference([]byte(text))
		// The standard library matches keys without regard to case, replaces
		// invalid UTF-8, and takes the last of equal keys, in objects too.
		if !ok || strings.ToLower(text) != text || strings.Contains(text, `\u`) || strings.ToValidUTF8(text, "") != text || repeats(text) || odd(text) {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v, but it is an alert: %+v", text, err, want)
		}
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	})
}

func repeats(text string) bool {
	for _, key := range []string{"rule", "priority", "source", "hostname", "time", "output_fields", "evt.time", "proc.pid", "thread.tid"} {
		if strings.Count(text, key) > 1 {
			return strings.Count(text, `"`+key+`"`) > 1
		}
	}
	return false
}

// odd numbers (fractions, exponents) are no ids and no times.
func odd(text string) bool {
	for _, key := range []string{"evt.time", "proc.pid", "thread.tid"} {
		if _, after, found := strings.Cut(text, key); found && strings.ContainsAny(after, ".eE+") {
			return true
		}
	}
	return false
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := newDecoder(false)
	text := []byte(sample)
	var a Alert
	if n := testing.AllocsPerRun(100, func() {
		if err := d.decode(text, &a); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per alert", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(sample)
	b.Run("ours", func(b *testing.B) {
		d := newDecoder(false)
		var a Alert
		b.ReportAllocs()
		for b.Loop() {
			if err := d.decode(text, &a); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := reference(text); !ok {
				b.Fatal("not an alert")
			}
		}
	})
}
