package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// requests counts those of a whole run, so that a test can end it at each of them.
func requests(t *testing.T) int {
	n := 0
	synctest.Test(t, func(t *testing.T) {
		c, client := newCluster(t, 1, 1)
		c.log = measured
		c.reach = func(*http.Request) error { n++; return nil }
		if _, err := Run(context.Background(), options(t, client)); err != nil {
			t.Fatal(err)
		}
	})
	if n < 30 {
		t.Fatalf("%d requests", n)
	}
	return n
}

// quiet are options of a run of which hundreds are made.
func quiet(t *testing.T, c *cluster) (o Options) {
	o = options(t, nil)
	o.Say = func(string, ...any) {}
	c.log = measured
	return o
}

// A run that is interrupted at any of its requests puts everything back.
func TestInterruptedAnywhere(t *testing.T) {
	for at := range requests(t) {
		synctest.Test(t, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			o := quiet(t, c)
			o.Client = client
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			n := 0
			c.reach = func(*http.Request) error {
				if n++; n == at+1 {
					cancel()
				}
				return nil
			}
			_, err := Run(ctx, o)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("request %d: %v", at, err)
			}
			c.asBefore()
			if t.Failed() {
				t.Fatalf("interrupted at request %d", at)
			}
		})
	}
}

// A run that is killed at any of its requests is undone by Restore, which is not told the
// namespace of its load, and by the next run.
func TestKilledAnywhere(t *testing.T) {
	for at := range requests(t) {
		for _, next := range []string{"restore", "run"} {
			synctest.Test(t, func(t *testing.T) {
				c, client := newCluster(t, 1, 1)
				o := quiet(t, c)
				o.Client, o.Namespace = client, "elsewhere"
				n := 0
				c.kill(o, func(*http.Request) bool { n++; return n > at })
				o.Namespace = "peregrine-capacity"
				var err error
				if next == "run" {
					_, err = Run(context.Background(), o)
				} else {
					_, err = Restore(context.Background(), o)
				}
				if err != nil {
					t.Error(err)
				}
				c.asBefore()
				if t.Failed() {
					t.Fatalf("killed at request %d, then %s", at, next)
				}
			})
		}
	}
}

// kill runs until a request that dead selects: each goroutine ends there.
func (c *cluster) kill(o Options, dead func(*http.Request) bool) {
	c.mu.Lock()
	c.reach = func(r *http.Request) error {
		if dead(r) {
			runtime.Goexit()
		}
		return nil
	}
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = Run(context.Background(), o)
	}()
	<-done
	synctest.Wait() // for the renewals of its lease
	c.reach = nil
}

// An API server that starts again, or has too much to do, costs a run nothing but time.
func TestServerAway(t *testing.T) {
	for at := range requests(t) {
		for name, err := range map[string]error{"refused": &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "reset": nil} {
			synctest.Test(t, func(t *testing.T) {
				c, client := newCluster(t, 1, 1)
				o := quiet(t, c)
				o.Client = client
				n := 0
				c.reach = func(r *http.Request) error {
					if n++; at > 0 && n > at && n <= at+3 && (err != nil || r.Method != http.MethodPost) {
						if err == nil {
							return syscall.ECONNRESET
						}
						return err
					}
					return nil
				}
				found, err := Run(context.Background(), o)
				if err != nil || len(found) != 1 || found[0].Result.Partial || len(found[0].Result.Rows) != 2 {
					t.Errorf("%s at request %d: %+v, %v", name, at, found, err)
				}
				c.asBefore()
				if t.Failed() {
					t.FailNow()
				}
			})
		}
	}
}

// The namespace of a killed run is remembered until it is undone, though the runs that
// were to undo it are killed too.
func TestNamespaceOfKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := newCluster(t, 1, 1)
		o := quiet(t, c)
		o.Client = client
		for i, last := range []string{"/api/v1/namespaces", "/leases", "/leases"} {
			o.Namespace = fmt.Sprintf("load-%d", i)
			made := false
			c.kill(o, func(r *http.Request) bool {
				dead := made
				made = made || r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, last) && (i == 0 || len(c.leases) == 0)
				return dead
			})
		}
		did, err := Restore(context.Background(), o)
		if err != nil || len(did) != 1 || !strings.Contains(did[0], "deleted namespace load-0") {
			t.Errorf("did %q, %v", did, err)
		}
		c.asBefore()
	})
}
