package output

import (
	"strconv"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/schema"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// encodeAlert is a in the wire format of falco.outputs.response. The generated
// code does the same through a map of strings and reflection, at several
// times the cost; a test compares the two.
func encodeAlert(a *alert.Alert) []byte {
	b := make([]byte, 0, 256+len(a.Output)+64*len(a.Fields))
	var scratch [24]byte
	stamp := time.Unix(0, a.Time)
	t := protowire.AppendTag(scratch[:0], 1, protowire.VarintType)
	t = protowire.AppendVarint(t, uint64(stamp.Unix()))
	t = protowire.AppendTag(t, 2, protowire.VarintType)
	t = protowire.AppendVarint(t, uint64(stamp.Nanosecond()))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, t)
	b = appendNumber(b, 2, uint64(a.Priority))
	b = appendNumber(b, 3, uint64(sourceNumber(a.Source)))
	b = appendText(b, 4, a.Rule)
	b = appendText(b, 5, a.Output)
	for _, f := range a.Fields {
		b = appendField(b, f)
	}
	b = appendText(b, 7, a.Hostname)
	for _, tag := range a.Tags {
		b = protowire.AppendTag(b, 8, protowire.BytesType)
		b = protowire.AppendString(b, tag)
	}
	return appendText(b, 9, a.Source)
}

// appendField appends one entry of the map output_fields.
func appendField(b []byte, f alert.Field) []byte {
	var scratch [32]byte
	value := fieldText(scratch[:0], f.Value)
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(f.Name)) + protowire.SizeTag(2) + protowire.SizeBytes(len(value))
	b = protowire.AppendTag(b, 6, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendString(b, f.Name)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendString(b, value)
}

// fieldText is the value as text outputs show it.
func fieldText(scratch []byte, v alert.Value) string {
	switch v.Kind {
	case alert.String:
		return v.Str
	case alert.Int:
		return string(strconv.AppendInt(scratch, v.Int, 10))
	case alert.Uint:
		return string(strconv.AppendUint(scratch, v.Uint, 10))
	case alert.Bool:
		return strconv.FormatBool(v.Uint != 0)
	case alert.Double:
		return string(strconv.AppendFloat(scratch, v.Dbl, 'f', -1, 64))
	}
	return "<NA>"
}

// sourceNumber is the old enumeration of sources.
func sourceNumber(source string) schema.Source {
	switch source {
	case "syscall":
		return schema.Source_SYSCALL
	case "k8s_audit":
		return schema.Source_K8S_AUDIT
	case "internal":
		return schema.Source_INTERNAL
	}
	return schema.Source_PLUGIN
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 { // proto3 leaves zeros out
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}
