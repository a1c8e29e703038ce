package alert

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Options are how alerts are written, as configured.
type Options struct {
	JSON bool // lines are JSON objects
	// Optional members of JSON objects.
	JSONOutput, JSONMessage, JSONFields, JSONTags bool
	ISO8601                                       bool // times of text in UTC instead of local time of day
	Hostname                                      string
	Append                                        []Append
	// LineOnly leaves out Output, Message and Fields: two thirds of an alert,
	// and read only by the gRPC output.
	LineOnly bool

	// Scratch is memory for alerts under construction, which formatters of one
	// goroutine may share; nil gives each its own.
	Scratch *Scratch
}

// Append adds to the outputs of the rules that it matches (append_output).
type Append struct {
	// All that is not empty must hold.
	Source, Rule string
	Tags         []string // the rule must have them all

	Output string
	Fields []ExtraField
	// Suggested adds the fields of the container and its pod, which syscalls
	// have.
	Suggested bool
}

// ExtraField is a further entry of output_fields: a field with its typed
// value, or, if Format is not empty, a text.
type ExtraField struct{ Name, Format string }

// suggested is the output that Falco's container plugin suggests for every
// rule.
const suggested = "container_id=%container.id container_name=%container.name " +
	"container_image_repository=%container.image.repository container_image_tag=%container.image.tag " +
	"k8s_pod_name=%k8s.pod.name k8s_ns_name=%k8s.ns.name"

func (a *Append) matches(r Rule) bool {
	if (a.Source != "" && a.Source != r.Source) || (a.Rule != "" && a.Rule != r.Name) {
		return false
	}
	for _, tag := range a.Tags {
		if !slices.Contains(r.Tags, tag) {
			return false
		}
	}
	return true
}

// Extend returns the rule's output and fields with the additions of o.
func (o *Options) Extend(r Rule, output string) (string, []ExtraField) {
	var fields []ExtraField
	for i := range o.Append {
		a := &o.Append[i]
		if !a.matches(r) {
			continue
		}
		if a.Output != "" {
			output += " " + a.Output
		}
		if a.Suggested && r.Source != field.K8sAuditSource {
			output += " " + suggested
		}
		fields = append(fields, a.Fields...)
	}
	return output, fields
}
