package runtimes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// A long list is cut, and questions do not wait for its end.
func TestLongList(t *testing.T) {
	h := &host{}
	o := h.options()
	var told []string
	o.Deliver = func(_ context.Context, m container.Container) { told = append(told, m.FullID) }
	o.Timeout, o.CallTimeout = DefaultTimeout, DefaultCallTimeout
	f := &fake{events: make(chan string)}
	for i := range maxListed + 5 {
		f.list = append(f.list, fmt.Sprint(i))
	}
	f.find = func(ctx context.Context, id string) (container.Container, error) {
		if id == f.list[maxListed-1] {
			return container.Container{}, io.ErrUnexpectedEOF // the connection breaks after the requested ids
		}
		return byID(ctx, id)
	}
	s := newSocket(Endpoint{Socket: filepath.Join(t.TempDir(), "s"), Open: func() (Client, error) { return f, nil }}, 0, &o)
	s.ask(question{ids: []string{"asked"}})
	answered, err := s.connect(t.Context())
	if !answered || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("answered %v, %v", answered, err)
	}
	// Each turn takes one of the two by chance: it is not the last in 10000.
	if at := slices.Index(told, "asked"); at < 0 || len(told) != maxListed || !strings.Contains(h.log.String(), "too many") {
		t.Errorf("told of %d, of the one that was asked for at %d: %s", len(told), at, h.log.String())
	}
}
