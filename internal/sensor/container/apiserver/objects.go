package apiserver

import (
	"encoding/json"
	"maps"
	"slices"
)

// metadata is the part of an object's metadata that is read.
type metadata struct {
	Name, Namespace, UID string
	ResourceVersion      string
	Labels               map[string]string
	Annotations          struct {
		// Mirror is the UID by which the kubelet, and so the runtime, knows a
		// static pod. The API server has a mirror of it, with a UID of its own.
		Mirror string `json:"kubernetes.io/config.mirror"`
	}
	OwnerReferences []reference
}

// reference names the object that owns another one.
type reference struct {
	Kind, Name, UID string
	Controller      bool
}

type object struct{ Metadata metadata }

// podList is a page of the node's pods.
type podList struct {
	Metadata struct{ ResourceVersion, Continue string }
	Items    []object
}

// event is one line of a watch.
type event struct {
	Type   string // ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
	Object json.RawMessage
}

type serviceList struct{ Items []service }

type service struct {
	Metadata metadata
	Spec     struct{ Selector map[string]string }
}

// leadsTo says whether a service with a selector leads to a pod with these
// labels. One without a selector has its endpoints set by other means.
func (s *service) leadsTo(labels map[string]string) bool {
	for k, v := range s.Spec.Selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(s.Spec.Selector) > 0
}

// uid is the UID by which the runtime knows the pod. That of a mirror is taken
// only from a pod that its node controls, as the kubelet makes mirrors and the
// admission plugin NodeRestriction demands of nodes (KEP 1314), and in the form
// of a static pod's: those of other pods have dashes.
func (m *metadata) uid() string {
	of := m.Annotations.Mirror
	if c := m.controller(); c != nil && c.Kind == "Node" && len(of) == 32 && isHex(of) {
		return of
	}
	return m.UID
}

func isHex(s string) bool {
	for _, c := range s {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// controller is the owner that runs the object; nil for none.
func (m *metadata) controller() *reference {
	for i := range m.OwnerReferences {
		if m.OwnerReferences[i].Controller {
			return &m.OwnerReferences[i]
		}
	}
	return nil
}

// sameFor says whether two states of a pod have the same Workload.
func (m *metadata) sameFor(other *metadata) bool {
	return maps.Equal(m.Labels, other.Labels) && slices.Equal(m.OwnerReferences, other.OwnerReferences)
}
