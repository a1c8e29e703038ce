package kubernetes

import "slices"

// taint keeps pods off a node that do not tolerate it.
type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

func (t taint) String() string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	return text + ":" + t.Effect
}

type toleration struct {
	Key      string `json:"key"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// tolerates is ToleratesTaint of k8s.io/api/core/v1.
func (t toleration) tolerates(x taint) bool {
	return (t.Effect == "" || t.Effect == x.Effect) && (t.Key == "" || t.Key == x.Key) && (t.Operator == "Exists" || t.Value == x.Value)
}

// repels is a taint of a node that lets the sensor's pod run on, and lets no new one
// come (NoSchedule); "" if absent.
func (d *daemonSet) repels(n *node) string {
	tolerations := convert[[]toleration](tolerateAsDaemon(member(convert[object](d.Spec.Template), "spec")))
	for _, t := range n.Spec.Taints {
		if t.Effect == "NoSchedule" && !slices.ContainsFunc(tolerations, func(own toleration) bool { return own.tolerates(t) }) {
			return t.String()
		}
	}
	return ""
}
