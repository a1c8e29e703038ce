package event

// Variable says whether values of the type travel in the event's tail.
func (t Type) Variable() bool { return t >= String }

// Param describes one parameter of a kind.
type Param struct {
	Name  string
	Type  Type
	Table string // name of the table of flags, "" if none
}

// Category is evt.category.
type Category uint8

// Categories, in the order of categoryNames.
const (
	Other Category = iota
	FileIO
	Net
	IPC
	Wait
	Signal
	Sleep
	Time
	Process
	Scheduler
	Memory
	User
	System
	IORead
	IOWrite
	IOOther
	Internal
)

// Traits are the effects of an event, as a bit set.
type Traits uint8

// The traits of a kind.
const (
	CreatesFD Traits = 1 << iota
	UsesFD
	ReadsFD
	WritesFD
	Waits
	ModifiesState // the process table needs every event of this kind
)

// Origin says where events of a kind come from.
type Origin uint8

// Origins.
const (
	Syscall Origin = iota
	Tracepoint
	Meta // made in user space, or of interest to the process table only
)

// Info describes a kind.
type Info struct {
	Name     string // evt.type
	Category Category
	Origin   Origin
	Traits   Traits
	Lost     DropCategory // where a lost event of the kind is counted
	Family   Family       // whose program makes it; 0: none does
	Params   []Param      // Falco's parameters, in Falco's order
	Extras   []Param      // additional facts from the kernel; slots follow those of Params
	// FD is the slot of the event's descriptor (fd.num), -1 if it has none.
	FD int
	// Base, Base2 and File are the slots of those extras, -1 if absent.
	Base, Base2, File int
	// variable has bit i set when slot i travels in the tail.
	variable uint64
}

// Info returns the description of k. It panics on a Kind that no constant
// names.
func (k Kind) Info() *Info { return &kinds[k] }

// String returns the kind's name, which is evt.type.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k].Name
}

// Slots is the number of slots of an event of the kind.
func (i *Info) Slots() int { return len(i.Params) + len(i.Extras) }

// Variable says whether the value of a slot travels in the event's tail.
func (i *Info) Variable(slot int) bool { return i.variable&(1<<slot) != 0 }

// Slot returns the slot of the named parameter or extra, -1 if absent.
func (i *Info) Slot(name string) int {
	for n, p := range i.Params {
		if p.Name == name {
			return n
		}
	}
	for n, p := range i.Extras {
		if p.Name == name {
			return len(i.Params) + n
		}
	}
	return -1
}

// KindByName returns the kind whose evt.type is name.
func KindByName(name string) (Kind, bool) {
	k, ok := kindsByName[name]
	return k, ok
}

// NumKinds is the number of kinds.
const NumKinds = int(kindEnd)

var kindsByName = func() map[string]Kind {
	m := make(map[string]Kind, len(kinds))
	for k := range kinds {
		m[kinds[k].Name] = Kind(k)
	}
	return m
}()

// KindSet is a set of kinds.
type KindSet [(NumKinds + 63) / 64]uint64

// Add puts k into the set.
func (s *KindSet) Add(k Kind) { s[k/64] |= 1 << (k % 64) }

// AddAll puts the kinds of o into the set.
func (s *KindSet) AddAll(o KindSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// Has says whether k is in the set.
func (s *KindSet) Has(k Kind) bool { return s[k/64]&(1<<(k%64)) != 0 }
