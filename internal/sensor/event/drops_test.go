package event

import (
	"encoding/json"
	"testing"
)

func TestDrops(t *testing.T) {
	var before, now Drops
	n := uint64(1)
	for cause := range now {
		for category := range now[cause] {
			before[cause][category], now[cause][category] = n, 3*n
			n *= 2
		}
	}
	delta := now.Minus(before)
	if want := 2 * (n - 1); delta.Total() != want {
		t.Errorf("%d lost, want %d", delta.Total(), want)
	}
	before.Add(&delta)
	if before != now {
		t.Errorf("before + (now - before) is %v, want %v", before, now)
	}
	b, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	var read Drops
	if err := json.Unmarshal(b, &read); err != nil || read != now {
		t.Errorf("%s is read as %v, %v", b, read, err)
	}
}

func TestDropsOfANewerSensor(t *testing.T) {
	var d Drops
	err := json.Unmarshal([]byte(`{"buffer": {"open": 3, "new": 4}, "newer": {"open": 5}}`), &d)
	if want := (Drops{DropBuffer: {LostOpen: 3}}); err != nil || d != want {
		t.Errorf("got %v, %v, want %v", d, err, want)
	}
	if err := json.Unmarshal([]byte(`{"buffer": 3}`), &d); err == nil {
		t.Error("a number as a row is accepted")
	}
}
