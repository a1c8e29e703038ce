package kubernetes

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

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
