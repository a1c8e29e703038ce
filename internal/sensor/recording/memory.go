package recording

import (
	"time"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// memory remembers the state that the recording holds so far, and writes the
// rest of the state that a replay needs for the next event. It belongs to the
// engine's goroutine.
type memory struct {
	told       map[int32]image
	containers map[*container.Container]knowledge
	out        []byte // events under construction
	build      event.Builder
	offset     uint64 // from times since boot to those since the epoch
	redated    uint64 // from times since the epoch, as the probe tells them, to those of today
	latest     uint64 // header time of the latest event, for all written state
}

// image is the recorded state of a process that can change without an event of
// the process itself, or by one that the recording lacks.
type image struct {
	start, cgroup          uint64
	execID                 uint32
	ppid, sid, pgid, vpgid int32
}

// knowledge is a container as it was told.
type knowledge struct {
	known       bool
	name, image string
	pod         *container.Pod
	workload    *container.Workload
	accounts    uint64
}

func knowledgeOf(table *state.Table, c *container.Container) knowledge {
	k := knowledge{known: c.Known, name: c.Name, image: c.Image, pod: c.Pod, accounts: table.AccountsVersion(c)}
	if c.Pod != nil {
		k.workload = c.Pod.Workload
	}
	return k
}

func imageOf(p *state.Process) image {
	return image{p.Start, p.CgroupID, p.ExecID, p.PPID, p.SID, p.PGID, p.VPGID}
}

func (m *memory) reset(offset uint64, redated time.Duration) {
	m.told = make(map[int32]image)
	m.containers = make(map[*container.Container]knowledge)
	m.offset, m.redated, m.latest, m.out = offset, uint64(redated), 0, nil
}

// tell writes unrecorded state of the event's process, its ancestors and its
// container. It returns the offset to add to the start of the event's process.
func (m *memory) tell(table *state.Table, v *event.View, p *state.Process, now uint64) (later uint64) {
	at := v.Header().Time
	m.latest = max(m.latest, at)
	latest := m.latest + now - at
	if !p.Known {
		return 0
	}
	m.container(table, p.Container, now)
	if table.Get(p.PID) != p && !p.Dead {
		return m.past(table, p, latest)
	}
	switch v.Kind() {
	case event.KindProcfork: // this event creates the child
		if c := table.Get(int32(v.Int(event.ProcforkChild))); c != nil {
			m.told[c.PID] = imageOf(c)
		}
	case event.KindExecve, event.KindExecveat: // so is the new image
		if v.Header().Res >= 0 {
			m.told[p.PID] = imageOf(p)
		}
	}
	for q := p; q != nil && q.Known; q = table.Parent(q) {
		if m.told[q.PID] == imageOf(q) {
			continue
		}
		m.told[q.PID] = imageOf(q)
		m.process(q, latest)
	}
	return 0
}

// past writes a process as it was when its event was postponed, with its
// ancestors; their current state is written again with their next events.
// Processes that have ended since get another start time, so that a replay does
// not take them for living ones. It returns the offset to add to the start of
// the event's process.
func (m *memory) past(table *state.Table, p *state.Process, latest uint64) (later uint64) {
	for q := p; q != nil && q.Known; q = table.Parent(q) {
		was := *q
		if now := table.Get(q.PID); now == nil || now.Start != q.Start {
			was.Start++
		}
		if q == p {
			later = was.Start - q.Start
		}
		m.process(&was, latest)
		delete(m.told, q.PID)
	}
	return later
}

func (m *memory) process(p *state.Process, now uint64) {
	m.out = append(m.out, p.Task(&m.build, now, m.offset)...)
}

// container writes new metadata and users of a container.
func (m *memory) container(table *state.Table, c *container.Container, now uint64) {
	is := knowledgeOf(table, c)
	was, told := m.containers[c]
	if told && is == was {
		return
	}
	m.containers[c] = is
	if c.Known && c != container.Host {
		b := &m.build
		b.Start(event.KindAsyncevent, event.Header{Time: now, Syscall: event.NoSyscall})
		b.Str(event.AsynceventName, "container")
		b.Bytes(event.AsynceventData, append(c.Metadata(), 0))
		m.out = append(m.out, b.Finish()...)
	}
	if !told || is.accounts != was.accounts {
		table.Accounts(&m.build, now, c, func(ev []byte) { m.out = append(m.out, ev...) })
	}
}

// event writes the event itself, with the times of captures, and its process's
// start moved by later.
func (m *memory) event(v *event.View, now, later uint64) {
	at := len(m.out)
	m.out = append(m.out, v.Raw()...)
	b := m.out[at:]
	h := (*event.Header)(unsafe.Pointer(unsafe.SliceData(b)))
	h.Time = now
	shift(&h.Start, m.offset)
	h.Start += later
	slot := func(i int) *uint64 {
		return (*uint64)(unsafe.Pointer(unsafe.SliceData(b[event.HeaderSize+8*i : event.HeaderSize+8*i+8])))
	}
	for _, i := range sinceBoot[h.Kind] {
		shift(slot(i), m.offset)
	}
	for _, i := range sinceEpoch[h.Kind] {
		shift(slot(i), m.redated)
	}
}

// shift adds to a time; 0 stays 0.
func shift(ns *uint64, by uint64) {
	if *ns != 0 {
		*ns += by
	}
}

// The slots of each kind that hold a time since boot, and those with one since
// the epoch that the probe has made of it (boot_epoch in probe/bpf).
var (
	sinceBoot  = slotsOf("start", "pstart")
	sinceEpoch = slotsOf("start_time", "pidns_init_start_ts")
)

func slotsOf(names ...string) (slots [event.NumKinds][]int) {
	for k := range slots {
		for _, name := range names {
			if i := event.Kind(k).Info().Slot(name); i >= 0 {
				slots[k] = append(slots[k], i)
			}
		}
	}
	return slots
}
