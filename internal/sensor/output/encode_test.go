package output

import (
	"testing"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/schema"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// The generated code decodes the output of encodeAlert.
func TestEncodeAlert(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringN(0, 40, 400)
		a := &alert.Alert{
			Time:     rapid.Int64Range(0, 1<<62).Draw(r, "time"),
			Rule:     text.Draw(r, "rule"),
			Priority: alert.Priority(rapid.IntRange(0, 7).Draw(r, "priority")),
			Source:   rapid.SampledFrom([]string{"syscall", "internal", "k8s_audit", "other", ""}).Draw(r, "source"),
			Hostname: text.Draw(r, "host"),
			Tags:     rapid.SliceOfN(text, 0, 4).Draw(r, "tags"),
			Output:   text.Draw(r, "output"),
		}
		want := &outputs.Response{
			Time:     &timestamppb.Timestamp{Seconds: a.Time / 1e9, Nanos: int32(a.Time % 1e9)},
			Priority: schema.Priority(a.Priority), Rule: a.Rule, Output: a.Output, Hostname: a.Hostname, Source: a.Source,
			Tags: a.Tags, OutputFields: map[string]string{},
		}
		//lint:ignore SA1019 old clients read it
		want.SourceDeprecated = map[string]schema.Source{
			"syscall": schema.Source_SYSCALL, "internal": schema.Source_INTERNAL, "k8s_audit": schema.Source_K8S_AUDIT,
			"other": schema.Source_PLUGIN, "": schema.Source_PLUGIN,
		}[a.Source]
		for name, v := range map[string]struct {
			value alert.Value
			text  string
		}{
			"null":               {alert.Value{}, "<NA>"},
			text.Draw(r, "name"): {alert.Value{Kind: alert.String, Str: "x\x00y"}, "x\x00y"},
			"int":                {alert.Value{Kind: alert.Int, Int: -5}, "-5"},
			"uint":               {alert.Value{Kind: alert.Uint, Uint: 1<<64 - 1}, "18446744073709551615"},
			"bool":               {alert.Value{Kind: alert.Bool, Uint: 1}, "true"},
			"double":             {alert.Value{Kind: alert.Double, Dbl: 0.5}, "0.5"},
		} {
			a.Fields = append(a.Fields, alert.Field{Name: name, Value: v.value})
			want.OutputFields[name] = v.text
		}
		got := &outputs.Response{}
		if err := proto.Unmarshal(encodeAlert(a), got); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			r.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func BenchmarkEncodeAlert(b *testing.B) {
	a := numbered(1)
	for range 15 {
		a.Fields = append(a.Fields, alert.Field{Name: "proc.aname[2]", Value: alert.Value{Kind: alert.String, Str: "some text of a field"}})
	}
	b.ReportAllocs()
	for b.Loop() {
		encodeAlert(a)
	}
}
