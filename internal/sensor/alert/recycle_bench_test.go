package alert

import (
	"bytes"
	"testing"
)

// BenchmarkAfterBacklog is the cost of an alert's memory on its way from the
// goroutine that makes it to the one that writes it, in a stream of a few
// hundred alerts at a time: without and after a backlog of 64 Ki alerts, whose
// memory fits no cache.
func BenchmarkAfterBacklog(b *testing.B) {
	for _, tt := range []struct {
		name    string
		backlog int
	}{{"none", 0}, {"64Ki", 64 << 10}} {
		b.Run(tt.name, func(b *testing.B) {
			const batch, ahead = 64, 8
			text := bytes.Repeat([]byte("x"), 1000)
			full, empty := make(chan []*Alert, 2048), make(chan []*Alert, 2048)
			fill := func(list []*Alert) {
				for range batch {
					a := blank()
					a.Share(1)
					a.Line = append(a.Line, text...)
					list = append(list, a)
				}
				full <- list
			}
			write := make([]byte, 0, 64<<10)
			drain := func() {
				list := <-full
				for _, a := range list {
					if len(write)+len(a.Line) > cap(write) {
						write = write[:0]
					}
					write = append(write, a.Line...)
					a.Release()
				}
				empty <- list[:0]
			}
			for range tt.backlog / batch {
				fill(nil)
			}
			done := make(chan struct{})
			for range tt.backlog / batch {
				drain()
			}
			for range tt.backlog/batch - ahead {
				<-empty
			}
			for len(empty) < ahead {
				empty <- nil
			}
			go func() {
				defer close(done)
				for range b.N / batch {
					drain()
				}
			}()
			b.ResetTimer()
			for range b.N / batch {
				fill(<-empty)
			}
			<-done
		})
	}
}
