package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// roomInMap is the most data that we put into a ConfigMap: the maximum is 1
// MiB, with the object around it (k8s.io/api/core/v1, MaxSecretSize).
const roomInMap = 1000 << 10

// mayPublish refuses, before the run, a ConfigMap that would be deleted with its
// namespace, or belongs to another owner.
func (r *run) mayPublish(ctx context.Context, made bool) error {
	if r.Publish == "" {
		return nil
	}
	if made {
		return refuse("the report is to go to a ConfigMap in namespace %s, which is made for the run and deleted with it: name a namespace that is there with -n", r.Namespace)
	}
	_, err := published(ctx, r.Client, r.Namespace, r.Publish)
	return err
}

// published is the resourceVersion of the ConfigMap that a run may replace: one
// with an earlier report, or none.
func published(ctx context.Context, client *kubeapi.Client, namespace, name string) (string, error) {
	var there struct{ Metadata meta }
	err := client.Get(ctx, kubeapi.In("api/v1", namespace, "configmaps", name), &there)
	if err == nil && there.Metadata.Labels[partOf] != product {
		err = refuse("ConfigMap %s/%s is there and holds no report (label %s=%s): choose another name for the report", namespace, name, partOf, product)
	}
	return there.Metadata.ResourceVersion, gone(err)
}

// Publish puts files into a ConfigMap, in place of an earlier report: for runs in a
// cluster, whose own files end with their pod. The smaller files come first; it
// returns the names of those that found no room.
func Publish(ctx context.Context, client *kubeapi.Client, namespace, name string, files map[string]string) (left []string, err error) {
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return len(files[a]) - len(files[b]) })
	data, size := map[string]string{}, 0
	for _, file := range names {
		if size += len(file) + len(files[file]); size > roomInMap {
			left = append(left, file)
			continue
		}
		data[file] = files[file]
	}
	metadata := object{"name": name, "namespace": namespace, "labels": object{partOf: product}}
	body := object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
	err = client.Create(ctx, kubeapi.In("api/v1", namespace, "configmaps"), body, nil)
	if kubeapi.Is(err, 409) {
		if metadata["resourceVersion"], err = published(ctx, client, namespace, name); err == nil {
			err = client.Do(ctx, "PUT", kubeapi.In("api/v1", namespace, "configmaps", name), "application/json", body, nil)
		}
	}
	if err != nil {
		return left, fmt.Errorf("publish the report: %w", err)
	}
	return left, nil
}
