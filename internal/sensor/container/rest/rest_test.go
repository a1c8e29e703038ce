package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/resttest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// serve answers at a socket as h says, and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	c := New(resttest.Serve(t, h))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGet(t *testing.T) {
	for _, c := range []struct {
		status           int
		body             string
		answer, notFound bool
	}{
		{200, `{"Name":"web"}`, false, false},
		{404, ``, false, true},
		{500, `no such image`, true, false},
		{200, `<html>`, true, false},
		{200, `{"Name":1}`, true, false},
		{200, `{"Name":"` + strings.Repeat("x", maxBody) + `"}`, true, false},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		var v struct{ Name string }
		err := client.Get(t.Context(), "/x", &v)
		if errors.Is(err, ErrAnswer) != c.answer || errors.Is(err, container.ErrNotFound) != c.notFound || err == nil && v.Name != "web" {
			t.Errorf("%d %.20q: %q, %v", c.status, c.body, v.Name, err)
		}
	}
}

// A lost connection is not an answer.
func TestGetCut(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"Name":`)
	})
	if err := client.Get(t.Context(), "/x", new(any)); err == nil || errors.Is(err, ErrAnswer) {
		t.Errorf("%v", err)
	}
}

func TestList(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[{"ID":"a"},{"Id":"b"}]`) })
	if ids, err := client.List(t.Context(), "/x"); err != nil || !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("%q, %v", ids, err)
	}
}

// A stream may be as long as it likes; one object of it may not.
func TestStreamBound(t *testing.T) {
	label := strings.Repeat("x", maxObject/4)
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			fmt.Fprintf(w, `{"ID":%q}`, label)
		}
		fmt.Fprintf(w, `{"ID":"%s`, strings.Repeat(label, 8))
	})
	seen := 0
	err := Stream(t.Context(), client, "/x", func(v struct{ ID string }) { seen++ })
	if seen != 10 || !errors.Is(err, ErrAnswer) {
		t.Errorf("%d objects, %v", seen, err)
	}
}
