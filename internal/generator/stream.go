package generator

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The worker process speaks to Spawn in frames: a kind, a length and that many
// bytes. Both are the same program, so that instances are sent as they lie in
// memory, and results as JSON.
const (
	frameReady  = 'P' // []string: Options.Ready's argument
	frameBatch  = 'B' // []Instance
	frameResult = 'R' // wireResult
	frameError  = 'E' // text
)

const frameLimit = 64 << 20 // of one frame; a result with 65535 actions is smaller

// wireResult carries a Result with its histograms as snapshots and without
// its instances, which have gone as batches.
type wireResult struct {
	Result   *Result
	Lateness *hdrhistogram.Snapshot
	Costs    []*hdrhistogram.Snapshot
	Worker   int // the worker process's pid
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	var head [5]byte
	head[0] = kind
	binary.LittleEndian.PutUint32(head[1:], uint32(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > frameLimit {
		return 0, nil, fmt.Errorf("frame of %d bytes from the worker process: at most %d", n, frameLimit)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, errors.Join(errors.New("worker process ended within a frame"), err)
	}
	return head[0], payload, nil
}

const instanceSize = int(unsafe.Sizeof(Instance{}))

// instanceBytes views instances as bytes.
func instanceBytes(batch []Instance) []byte {
	if len(batch) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&batch[0])), len(batch)*instanceSize)
}

// instances copies them back.
func instances(payload []byte) ([]Instance, error) {
	if len(payload)%instanceSize != 0 {
		return nil, fmt.Errorf("batch of %d bytes from the worker process: not a multiple of %d", len(payload), instanceSize)
	}
	batch := make([]Instance, len(payload)/instanceSize)
	copy(instanceBytes(batch), payload)
	return batch, nil
}

func encodeResult(r *Result) ([]byte, error) {
	w := wireResult{Result: r, Lateness: r.Lateness.Export(), Worker: os.Getpid()}
	for i := range r.Actions {
		w.Costs = append(w.Costs, r.Actions[i].Cost.Export())
	}
	return json.Marshal(w)
}

func decodeResult(payload []byte) (*Result, error) {
	var w wireResult
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, fmt.Errorf("result of the worker process: %w", err)
	}
	r := w.Result
	if r == nil || len(w.Costs) != len(r.Actions) {
		return nil, fmt.Errorf("result of the worker process: %d histograms, expected one for each action", len(w.Costs))
	}
	r.Lateness, r.Processes = hdrhistogram.Import(w.Lateness), []int{w.Worker}
	for i := range r.Actions {
		r.Actions[i].Cost = hdrhistogram.Import(w.Costs[i])
	}
	return r, nil
}

// span is the common time of a schedule, for both parts of a split run.
func span(a, b *Result) (start, end time.Time) {
	start, end = a.Start, a.End
	if b.Start.Before(start) {
		start = b.Start
	}
	if b.End.After(end) {
		end = b.End
	}
	return start, end
}
