package kubernetes

import (
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// Labels of every object of a run, and of every object that it has changed.
const (
	product  = "peregrine-capacity"
	partOf   = "app.kubernetes.io/part-of"
	runLabel = "peregrine.dev/capacity-run" // its value is the run's ID
	// sensorLabel is on the load of a run: its value says for which DaemonSet.
	sensorLabel = "peregrine.dev/capacity-sensor"
	// record holds the original of a copied object, as JSON, or the DaemonSet
	// that an object is for.
	record = "peregrine.dev/capacity"
)

// Parts of objects, in Kubernetes' own types.
type (
	meta      = metav1.ObjectMeta
	condition = metav1.Condition
)

// ownedBy says whether an object's controller has this UID.
func ownedBy(m *meta, uid types.UID) bool {
	controller := metav1.GetControllerOfNoCopy(m)
	return controller != nil && controller.UID == uid
}

// resources are a container's: quantities by name, as text.
type resources struct {
	Limits   map[string]string `json:"limits,omitempty"`
	Requests map[string]string `json:"requests,omitempty"`
}

type container struct {
	Name            string    `json:"name"`
	Image           string    `json:"image"`
	ImagePullPolicy string    `json:"imagePullPolicy"`
	Command         []string  `json:"command"`
	Args            []string  `json:"args"`
	Resources       resources `json:"resources"`
	Ports           []struct {
		Name string `json:"name"`
		Port int    `json:"containerPort"`
	} `json:"ports"`
	ReadinessProbe probe `json:"readinessProbe"`
	LivenessProbe  probe `json:"livenessProbe"`
}

// probe is the part of a probe that says how the web server is reached.
type probe struct {
	HTTPGet struct {
		Scheme string `json:"scheme"`
	} `json:"httpGet"`
}

// state is a container's: one of the members is set.
type state struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Terminated *struct {
		Reason   string `json:"reason"`
		Message  string `json:"message"`
		ExitCode int    `json:"exitCode"`
	} `json:"terminated"`
	Running *struct{} `json:"running"`
}

type containerStatus struct {
	Name        string     `json:"name"`
	ContainerID string     `json:"containerID"`
	State       state      `json:"state"`
	LastState   state      `json:"lastState"`
	Resources   *resources `json:"resources"`
}

// pod is the part of a pod that is read here.
type pod struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		NodeName   string      `json:"nodeName"`
		Containers []container `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase             string            `json:"phase"`
		Reason            string            `json:"reason"`
		Message           string            `json:"message"`
		PodIP             string            `json:"podIP"`
		Conditions        []condition       `json:"conditions"`
		ContainerStatuses []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

// condition is the one of a type; the zero value if absent.
func (p *pod) condition(kind string) condition { return find(p.Status.Conditions, kind) }

func find(all []condition, kind string) condition {
	for _, c := range all {
		if c.Type == kind {
			return c
		}
	}
	return condition{}
}

func (p *pod) ready() bool { return p.condition("Ready").Status == "True" }

func (p *pod) ended() bool { return p.Status.Phase == "Failed" || p.Status.Phase == "Succeeded" }

// container is the status of a container; the zero value before there is one.
func (p *pod) container(name string) containerStatus {
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == name {
			return s
		}
	}
	return containerStatus{}
}

// trouble says why a pod is not ready, in Kubernetes' own words.
func (p *pod) trouble() string {
	var words []string
	add := func(where, reason, message string) {
		if reason != "" || message != "" {
			words = append(words, strings.TrimRight(strings.TrimSpace(fmt.Sprintf("%s%s: %s", where, reason, message)), ": "))
		}
	}
	add("", p.Status.Reason, p.Status.Message)
	if c := p.condition("PodScheduled"); c.Status == "False" {
		add("", c.Reason, c.Message)
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			add("container "+s.Name+": ", w.Reason, w.Message)
		}
		if t := s.LastState.Terminated; t != nil {
			add("container "+s.Name+": it ended before: ", t.Reason, fmt.Sprintf("exit code %d", t.ExitCode))
		}
	}
	if len(words) == 0 {
		if c := p.condition("ContainersReady"); c.Message != "" {
			return c.Message
		}
		return "it is " + strings.ToLower(p.Status.Phase)
	}
	return strings.Join(words, ", ")
}

// node is the part of a node that is read here.
type node struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Unschedulable bool    `json:"unschedulable"`
		Taints        []taint `json:"taints"`
	} `json:"spec"`
	Status struct {
		Allocatable map[string]string `json:"allocatable"`
		Conditions  []condition       `json:"conditions"`
		Addresses   []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
		NodeInfo struct {
			Architecture string `json:"architecture"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

// cpus and memory are the resources of a node for pods.
func (n *node) cpus() float64 { cpus, _ := human.ParseCPUs(n.Status.Allocatable["cpu"]); return cpus }

func (n *node) memory() int64 {
	size, _ := human.ParseSize(n.Status.Allocatable["memory"])
	return size
}

// address is where pods of the node reach it.
func (n *node) address() string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" {
			return a.Address
		}
	}
	return ""
}

// unfit says why nothing can be measured on a node; "" if something can.
func (n *node) unfit() string {
	ready := find(n.Status.Conditions, "Ready")
	switch {
	case n.Metadata.DeletionTimestamp != nil:
		return "it is being deleted"
	case n.Spec.Unschedulable:
		return "it is cordoned: it takes no pods"
	case ready.Status != "True":
		return strings.TrimRight("it is not ready: "+ready.Message, ": ")
	}
	return ""
}

// list is a page of objects.
type list[T any] struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []T             `json:"items"`
}

// object is one whose fields are kept as they came, those that this version
// does not know too.
type object = map[string]any

// convert is a deep copy of a value from JSON, as another type or the same.
func convert[T any](from any) (to T) {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, &to)
	}
	if err != nil {
		panic(fmt.Sprintf("%T came from JSON and does not become a %T: %v", from, to, err))
	}
	return to
}
