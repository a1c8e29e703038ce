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
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/peregrine-sec/peregrine/internal/falcoapi/outputs"
	"github.com/peregrine-sec/peregrine/internal/falcoapi/schema"
)

// subscription is gRPC as Falco had it until 0.43: alerts wait until the
// client asks, and each request takes what waits then.
type subscription struct {
	outputs.UnimplementedServiceServer
	mu      sync.Mutex
	waiting []*outputs.Response
}

func (s *subscription) alert(line []byte) {
	m, err := message(line)
	if err != nil {
		return // the sensor's own words among its alerts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, m)
}

func (s *subscription) take() []*outputs.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.waiting
	s.waiting = nil
	return all
}

// Sub implements outputs.ServiceServer.
func (s *subscription) Sub(stream grpc.BidiStreamingServer[outputs.Request, outputs.Response]) error {
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

// serve listens at grpc.bind_address, a unix socket, until ctx ends.
func (s *subscription) serve(ctx context.Context, address string) {
	path := strings.TrimPrefix(address, "unix://")
	_ = os.Remove(path) // what an earlier life has left
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: grpc: %v\n", err)
		return
	}
	server := grpc.NewServer()
	outputs.RegisterServiceServer(server, s)
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(listener) }() // ends with the server
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
	m := &outputs.Response{Time: timestamppb.New(a.Time), Priority: schema.Priority(schema.Priority_value[a.Priority]),
		Rule: a.Rule, Source: a.Source, Hostname: a.Hostname, Tags: a.Tags, OutputFields: map[string]string{}}
	for name, value := range a.Fields {
		m.OutputFields[name] = fmt.Sprint(value)
	}
	return m, nil
}
