package player

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/schema"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Subscription is gRPC as Falco had it until 0.43: alerts wait until the client
// asks, and each request takes those that wait then.
type Subscription struct {
	outputs.UnimplementedServiceServer
	mu      sync.Mutex
	waiting []*outputs.Response
}

// Alert has a line of JSON wait for the client.
func (s *Subscription) Alert(line []byte) {
	m, err := message(line)
	if err != nil {
		return // the sensor's own words among its alerts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, m)
}

func (s *Subscription) take() []*outputs.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.waiting
	s.waiting = nil
	return all
}

// Sub implements outputs.ServiceServer.
func (s *Subscription) Sub(stream outputs.Service_SubServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for _, m := range s.take() {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

// Serve listens at a unix socket until ctx ends.
func (s *Subscription) Serve(ctx context.Context, path string) error {
	_ = os.Remove(path) // left by an earlier process
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	outputs.RegisterServiceServer(server, s)
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(listener) }() // ends with the server
	return nil
}

// message is an alert of JSON as one of gRPC, in which every field is text.
func message(line []byte) (*outputs.Response, error) {
	var a struct {
		Rule, Priority, Source, Hostname string
		Time                             time.Time
		Tags                             []string
		Fields                           map[string]any `json:"output_fields"`
	}
	in := json.NewDecoder(bytes.NewReader(line))
	in.UseNumber()
	if err := in.Decode(&a); err != nil {
		return nil, err
	}
	if event, ok := a.Fields["evt.time"].(json.Number); ok {
		ns, err := event.Int64()
		if err != nil {
			return nil, err
		}
		a.Time = time.Unix(0, ns)
	}
	m := &outputs.Response{Time: timestamppb.New(a.Time), Priority: schema.Priority(schema.Priority_value[a.Priority]),
		Rule: a.Rule, Source: a.Source, Hostname: a.Hostname, Tags: a.Tags, OutputFields: map[string]string{}}
	for name, value := range a.Fields {
		m.OutputFields[name] = fmt.Sprint(value)
	}
	return m, nil
}
