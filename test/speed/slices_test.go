package main

import (
	"math"
	"slices"
	"testing"
)

// Each condition has the same mean place in a block, and each of the first two
// is at the edges of every other block. The sensor's slices are neighbours: it is
// attached once a block.
func TestOrder(t *testing.T) {
	var edges []condition
	for n := range 4 {
		both := append(order(2*n), order(2*n+1)...)
		places := map[condition]int{}
		for at, c := range both {
			places[c] += at
		}
		if places[alone] != 5 || places[empty] != 5 || places[watched] != 5 {
			t.Errorf("block %d: %v", n, both)
		}
		if both[2] != watched || both[3] != watched {
			t.Errorf("block %d attaches the sensor twice: %v", n, both)
		}
		edges = append(edges, both[0])
	}
	if want := []condition{alone, empty, alone, empty}; !slices.Equal(edges, want) {
		t.Errorf("blocks begin with %v, want %v", edges, want)
	}
}

// A machine whose speed changes between blocks, and drifts within them, shows
// what the conditions cost.
func TestKeptIn(t *testing.T) {
	costs := [conditions]float64{alone: 1, empty: 0.95, watched: 0.94}
	var blocks []block
	for n, speed := range []float64{1000, 1400, 700, 2000, 300, 1000} {
		var b block
		for i, c := range append(order(2*n), order(2*n+1)...) {
			b.add(c, slice{ops: costs[c] * speed * (1 - 0.05*float64(i)) / 2, seconds: 0.5})
		}
		blocks = append(blocks, b)
	}
	got := keptIn(blocks)
	for name, is := range map[string]struct{ low, median, high, want float64 }{
		"empty":      {got.empty.Low, got.empty.Median, got.empty.High, 95},
		"watched":    {got.watched.Low, got.watched.Median, got.watched.High, 94},
		"difference": {got.difference.Low, got.difference.Median, got.difference.High, -1},
	} {
		if math.Abs(is.low-is.want) > 1e-9 || math.Abs(is.median-is.want) > 1e-9 || math.Abs(is.high-is.want) > 1e-9 {
			t.Errorf("%s: %+v", name, is)
		}
	}
	if got.difference.N != 6 || got.difference.Confidence < 0.95 {
		t.Errorf("%+v", got.difference)
	}
}

// Counters, as the servers show them.
func TestReadings(t *testing.T) {
	for name, tt := range map[string]struct {
		read func(string) (reading, error)
		text string
	}{
		"redis":      {redisReading, "# Server\r\nserver_time_usec:1796028032500000\r\n# Stats\r\ntotal_commands_processed:1234\r\n"},
		"nginx":      {nginxReading, "Active connections: 21 \nserver accepts handled requests\n 31 32 1234 \nReading: 0 Writing: 1 Waiting: 20 \n1796028032.500"},
		"PostgreSQL": {postgresqlReading, "1796028032.500000|1234\n"},
	} {
		got, err := tt.read(tt.text)
		if want := (reading{at: 1796028032.5, ops: 1234}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := tt.read("ERR"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
