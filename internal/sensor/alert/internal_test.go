package alert_test

import (
	"math"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestInternal(t *testing.T) {
	local(t, time.UTC)
	m := alert.Message{
		Time: fieldtest.Now, Rule: alert.RuleEventDrop, Priority: alert.Debug,
		Text: "Falco internal: syscall event drop. 3 system calls dropped in last second.",
		Fields: []alert.Field{
			{Name: "n_drops", Value: alert.Value{Kind: alert.String, Str: "3"}},
			{Name: "ebpf_enabled", Value: alert.Value{Kind: alert.String, Str: "1\n"}},
			{Name: "ratio", Value: alert.Value{Kind: alert.Double, Dbl: 0.5}},
			{Name: "nan", Value: alert.Value{Kind: alert.Double, Dbl: math.NaN()}},
			{Name: "none"},
		},
	}
	const fields = `ebpf_enabled="1` + "\ufffd" + `" n_drops="3" nan=null none=null ratio=0.5`
	const text = "14:58:33.447936116: Debug Falco internal: syscall event drop. 3 system calls dropped in last second. (" + fields + ")"
	a := alert.Internal(m, alert.Options{})
	if a.Output != text || string(a.Line) != text {
		t.Errorf("text %q, want %q", a.Line, text)
	}
	a = alert.Internal(m, alert.Options{JSON: true, Hostname: "vm", ISO8601: true})
	want := `{"hostname":"vm","output":"Falco internal: syscall event drop. 3 system calls dropped in last second.","output_fields":{"ebpf_enabled":"1` + "\ufffd" + `","n_drops":"3","nan":null,"none":null,"ratio":0.5},"priority":"Debug","rule":"Falco internal: syscall event drop","source":"internal","time":"2026-11-22T14:58:33.447936116Z"}`
	if string(a.Line) != want {
		t.Errorf("JSON\n%s\nwant\n%s", a.Line, want)
	}
	if a.Source != "internal" || a.Output[:28] != "2026-11-22T14:58:33.44793611" {
		t.Errorf("alert %+v", a)
	}
	if m.Fields[1].Value.Str != "1\n" {
		t.Error("Internal changed its argument")
	}
}
