package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// roomInMap is what a ConfigMap may hold, with some for what is around it (1 MiB:
// k8s.io/api/core/v1, MaxSecretSize).
const roomInMap = 1000 << 10

// Publish puts files into a ConfigMap, in place of what it had: for runs in a
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
	maps := kubeapi.In("api/v1", namespace, "configmaps")
	body := object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": name, "namespace": namespace, "labels": object{partOf: product}}, "data": data}
	err = client.Create(ctx, maps, body, nil)
	if kubeapi.Is(err, 409) {
		err = client.Do(ctx, "PUT", kubeapi.In("api/v1", namespace, "configmaps", name), "application/json", body, nil)
	}
	if err != nil {
		return left, fmt.Errorf("publish the report: %w", err)
	}
	return left, nil
}
