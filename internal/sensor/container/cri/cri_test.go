package cri

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// old is a runtime without a stream of events, which counts the pings.
type old struct {
	api.RuntimeServiceClient
	name  string
	pings int
}

func (o *old) Version(context.Context, *api.VersionRequest, ...grpc.CallOption) (*api.VersionResponse, error) {
	o.pings++
	return &api.VersionResponse{RuntimeName: o.name}, nil
}

func (o *old) GetContainerEvents(context.Context, *api.GetEventsRequest, ...grpc.CallOption) (api.RuntimeService_GetContainerEventsClient, error) {
	return noEvents{}, nil
}

type noEvents struct {
	api.RuntimeService_GetContainerEventsClient
}

func (noEvents) Recv() (*api.ContainerEventResponse, error) {
	return nil, status.Error(codes.Unimplemented, "unknown method")
}

// A ping runs beside Find, which reads the kind, and must leave it alone.
func TestPingLeavesKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := &old{name: "cri-o"}
		c := &Client{runtime: runtime, kind: "containerd"}
		ctx, cancel := context.WithTimeout(t.Context(), 3*pingInterval+pingInterval/2)
		defer cancel()
		if err := c.Follow(ctx, nil); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
		if runtime.pings != 3 || c.kind != "containerd" {
			t.Errorf("%d pings, kind %q", runtime.pings, c.kind)
		}
	})
}
