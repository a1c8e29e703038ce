package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options configure a run.
type Options struct {
	Client    *kubeapi.Client
	Namespace string   // of the Jobs; made, and deleted in the end, if it is not there
	DaemonSet string   // NAMESPACE/NAME; "" finds it
	Container string   // of the sensor, in the pod; "" finds it
	Nodes     []string // which are measured
	EachKind  bool     // of the nodes, instead
	Parallel  int      // nodes at a time
	Limits    []capacity.Limit
	Repeat    int // of each

	Image      string        // of the Jobs; "" is the sensor's own, if that is ours
	PullPolicy string        // of that image
	Port       int           // of the node, at which the Job takes alerts
	Socket     bool          // alerts come by a socket in the sensor's pod, not by HTTP to that port
	SensorArgs []string      // more arguments of the sensor
	Flags      []string      // of capacity run, for load and search
	Row        time.Duration // for one row
	Ready      time.Duration // for a pod to become ready

	Publish string // ConfigMap that the report will go to; "" for none

	Command []string   // that repeats the run
	Keep    func(Node) // called with each node as soon as it is measured; may be nil
	Say     func(format string, args ...any)
	Now     func() time.Time
}

// run is one Run.
type run struct {
	Options
	id      string
	set     *daemonSet
	sensor  container
	release falco.Release // of the sensor
	left    []string      // namespaces that killed runs have used for their load
}

// Run measures the limits on each node, and undoes its changes. It returns
// measurements also with an error.
func Run(ctx context.Context, o Options) ([]Node, error) {
	r, err := newRun(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	ctx, release, err := r.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	left, err := r.undo(ctx)
	for _, line := range left {
		r.Say("of a run that was killed: %s", line)
	}
	if err != nil {
		return nil, err
	}
	if err := r.makeNamespace(ctx); err != nil {
		return nil, err
	}
	r.tell(ctx, "CapacityTestStarted", fmt.Sprintf("nodes %s: pods are replaced by copies with other limits", strings.Join(r.Nodes, ", ")))
	measured, err := r.measureAll(ctx)
	if err := lost(ctx); err != nil {
		return measured, err // the objects there now are another run's
	}
	_, undone := r.undo(ctx)
	end, cancel := afterwards(ctx)
	defer cancel()
	r.tell(end, "CapacityTestEnded", "the pods are those of the template again")
	return measured, errors.Join(err, undone)
}

// newRun finds the sensor.
func newRun(ctx context.Context, o Options) (*run, error) {
	r := &run{Options: o, id: fmt.Sprintf("%08x", rand.Uint32())}
	var err error
	r.set, err = findSensor(ctx, o.Client, o.DaemonSet)
	if kubeapi.Is(err, 403) {
		err = refuse("find the sensor: %v (`peregrine capacity kubernetes rbac` prints the role that allows it)", err)
	}
	return r, err
}

// prepare performs the checks that need no change.
func (r *run) prepare(ctx context.Context) error {
	var err error
	if r.sensor, err = r.set.sensor(r.Container); err != nil {
		return err
	}
	r.Container, r.release = r.sensor.Name, r.set.release(&r.sensor)
	if r.Socket && !r.sensor.ours() && !r.release.GRPC() {
		return refuse("the sensor is %s, and Falco has no socket for alerts since 0.44: leave --alerts socket away, they come by HTTP then", r.sensor.Image)
	}
	if r.Image == "" {
		if !r.sensor.ours() {
			return refuse("the load comes from Peregrine's image, and the sensor's is %s: name one that the node can pull with --image", r.sensor.Image)
		}
		r.Image, r.PullPolicy = r.sensor.Image, r.sensor.ImagePullPolicy
	}
	r.Say("sensor under test: DaemonSet %s, container %s, %s", r.set.name(), r.sensor.Name, r.sensor.Image)
	r.Say("note: on a node that is measured, the sensor %s; its other outputs get the test's alerts, as JSON", r.alertsGo())
	scope := Scope{Sensor: r.set.Metadata.Namespace, Load: r.Namespace, Find: r.DaemonSet == "", Kinds: r.EachKind, Publish: r.Publish != ""}
	scope.Namespace, err = r.noNamespace(ctx)
	if err != nil {
		return err
	}
	if err := scope.Check(ctx, r.Client); err != nil {
		return err
	}
	if err := r.mayPublish(ctx, scope.Namespace); err != nil {
		return err
	}
	if r.EachKind {
		if r.Nodes, err = r.choose(ctx); err != nil {
			return err
		}
	}
	return r.suitable(ctx)
}

// alertsGo says where the alerts of a copy go, and who gets none meanwhile.
func (r *run) alertsGo() string {
	if r.Socket {
		return "has its alerts read by the load at a gRPC socket in its pod, in place of a grpc.bind_address of its own"
	}
	return "posts its alerts to the load " + r.sensor.inPlaceOf()
}

// suitable refuses a run whose limits no node can provide.
func (r *run) suitable(ctx context.Context) error {
	var errs []error
	for _, name := range r.Nodes {
		s := site{run: r, result: &capacity.Result{}}
		err := s.look(ctx, name)
		if err == nil {
			_, err = s.limits()
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// noNamespace says whether that of the Jobs has to be made.
func (r *run) noNamespace(ctx context.Context) (bool, error) {
	var found struct{ Metadata meta }
	err := r.Client.Get(ctx, kubeapi.In("api/v1", "", "namespaces", r.Namespace), &found)
	if kubeapi.Is(err, 404) || kubeapi.Is(err, 403) { // of a 403, the check tells more
		return true, nil
	}
	if err == nil && found.Metadata.DeletionTimestamp == nil {
		err = errors.Join(r.mayUse(found.Metadata), privileged(found.Metadata))
	}
	return found.Metadata.Labels[runLabel] != "", err
}

// mayUse refuses a namespace that a run on another DaemonSet has made, and
// deletes when it ends.
func (r *run) mayUse(namespace meta) error {
	if namespace.Labels[runLabel] == "" || namespace.Labels[sensorLabel] == r.set.label() {
		return nil
	}
	other := namespace.Annotations[record]
	return refuse("namespace %s is that of a run on DaemonSet %s: wait for that to end, undo it with `peregrine capacity kubernetes restore --daemonset %s -n %[1]s` if it was killed, or name another namespace with -n",
		namespace.Name, other, other)
}

// privileged refuses a namespace that admits no pod with the rights of the load (Pod
// Security Admission).
func privileged(namespace meta) error {
	if level := namespace.Labels[enforceLabel]; level != "" && level != privilegedLevel {
		return refuse("namespace %s admits pods of level %s, and the load is %s: name another with -n, or `kubectl label --overwrite namespace %[1]s %[4]s=%[3]s`",
			namespace.Name, level, privilegedLevel, enforceLabel)
	}
	return nil
}

// makeNamespace makes the namespace of the Jobs, unless it is there.
func (r *run) makeNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := r.Client.Create(ctx, kubeapi.In("api/v1", "", "namespaces"), object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{
			"name": r.Namespace, "labels": object{
				partOf: product, runLabel: r.id, sensorLabel: r.set.label(),
				enforceLabel: privilegedLevel, // the load's privileges are of that level only
			},
			"annotations": object{record: r.set.name()},
		}}, nil)
		switch {
		case err == nil:
			return nil
		case !kubeapi.Is(err, 409) && !kubeapi.Is(err, 403):
			return fmt.Errorf("make a namespace for the load: %w", err)
		}
		var there struct{ Metadata meta }
		if err := r.Client.Get(ctx, kubeapi.In("api/v1", "", "namespaces", r.Namespace), &there); gone(err) != nil {
			return err
		} else if err == nil && there.Metadata.DeletionTimestamp == nil {
			return r.mayUse(there.Metadata)
		}
		if wait.For(ctx, pause) != nil { // that of an earlier run is on its way out
			return fmt.Errorf("namespace %s is still being deleted: %w", r.Namespace, err)
		}
	}
}

// refuse is an error that says that nothing can be measured as things are.
func refuse(format string, args ...any) error {
	return &sweep.PreflightError{Reason: fmt.Sprintf(format, args...)}
}

// afterwards is a context for putting things back, also when ctx has ended.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
}

// gone drops the error of an object that no longer exists.
func gone(err error) error {
	if kubeapi.Is(err, 404) {
		return nil
	}
	return err
}

// tell puts an event on the DaemonSet, to explain the changed pod to its
// operators. A failure to do so must not fail the run.
func (r *run) tell(ctx context.Context, reason, message string) {
	now := r.Now().UTC().Format(time.RFC3339)
	_ = r.Client.Create(ctx, kubeapi.In("api/v1", r.set.Metadata.Namespace, "events"), object{
		"apiVersion": "v1", "kind": "Event",
		"metadata": object{"generateName": r.set.Metadata.Name + "-", "namespace": r.set.Metadata.Namespace},
		"involvedObject": object{"apiVersion": "apps/v1", "kind": "DaemonSet", "namespace": r.set.Metadata.Namespace,
			"name": r.set.Metadata.Name, "uid": r.set.Metadata.UID},
		"type": "Normal", "reason": reason, "message": message, "source": object{"component": product},
		"firstTimestamp": now, "lastTimestamp": now, "count": 1,
	}, nil)
}
