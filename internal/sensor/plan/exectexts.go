package plan

// The size of an ExecTexts.
const (
	ExecTextStates  = 1024
	ExecTextClasses = 64
	ExecTextBits    = 64
)

// ExecTexts finds parts in the texts of an exec, without regard to the case of
// letters: its name, argv[0], the other arguments, the environment and the working
// directory, with a NUL or a blank between them. It is a complete automaton: each
// byte leads from one state to the next.
type ExecTexts struct {
	// Classes are by byte. A letter has one class in either case; NUL, blank and
	// the bytes that no part has are of class 0, which leads to state 0.
	Classes [256]uint8
	// Next is by state*ExecTextClasses + class. State 0 is the first.
	Next [ExecTextStates * ExecTextClasses]uint16
	// Met has the bits of the parts that end in a state.
	Met [ExecTextStates]uint64
}

// Read returns the bits of the parts that occur in a text, as the probe does.
func (t *ExecTexts) Read(text string) (met uint64) {
	state := uint16(0)
	for i := range len(text) {
		state = t.Next[int(state)*ExecTextClasses+int(t.Classes[text[i]])]
		met |= t.Met[state]
	}
	return met
}

// execTexts is an ExecTexts under construction. Its Next is a trie, in which 0 is
// no edge.
type execTexts struct {
	table           *ExecTexts
	states, classes int
	bits            map[string]uint64
}

func newExecTexts() *execTexts {
	return &execTexts{table: &ExecTexts{}, states: 1, classes: 1, bits: map[string]uint64{}}
}

// add returns the bits of parts, which are in lower case and neither empty nor
// have NULs or blanks; false if there is no room for one. Where there are more
// parts than bits, some share one: it is met where any of them is.
func (b *execTexts) add(parts []string) (bits uint64, ok bool) {
	for _, part := range parts {
		if b.bits[part] == 0 {
			if !b.hasRoom(part) {
				return 0, false
			}
			bit := uint64(1) << (len(b.bits) % ExecTextBits)
			b.bits[part] = bit
			b.insert(part, bit)
		}
		bits |= b.bits[part]
	}
	return bits, true
}

// hasRoom says whether there are states and classes left for a part.
func (b *execTexts) hasRoom(part string) bool {
	classes := map[byte]bool{}
	states, at, inside := 0, 0, true
	for i := range len(part) {
		class := int(b.table.Classes[part[i]])
		if class == 0 {
			classes[part[i]] = true
		}
		if inside {
			at = int(b.table.Next[at*ExecTextClasses+class])
			inside = at != 0
		}
		if !inside {
			states++
		}
	}
	return b.states+states <= ExecTextStates && b.classes+len(classes) <= ExecTextClasses
}

func (b *execTexts) insert(part string, bit uint64) {
	at := 0
	for i := range len(part) {
		c := part[i]
		if b.table.Classes[c] == 0 {
			b.table.Classes[c] = uint8(b.classes)
			if 'a' <= c && c <= 'z' {
				b.table.Classes[c-'a'+'A'] = uint8(b.classes)
			}
			b.classes++
		}
		next := &b.table.Next[at*ExecTextClasses+int(b.table.Classes[c])]
		if *next == 0 {
			*next = uint16(b.states)
			b.states++
		}
		at = int(*next)
	}
	b.table.Met[at] |= bit
}

// complete makes all edges, breadth first: where a state has none, it goes where
// the longest proper suffix that is itself a state goes (Aho and Corasick).
func (b *execTexts) complete() *ExecTexts {
	t := b.table
	fall := make([]int, b.states)
	queue := []int{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for class := range ExecTextClasses {
			back := 0
			if at != 0 {
				back = int(t.Next[fall[at]*ExecTextClasses+class])
			}
			next := &t.Next[at*ExecTextClasses+class]
			if *next == 0 {
				*next = uint16(back)
				continue
			}
			fall[*next] = back
			t.Met[*next] |= t.Met[back]
			queue = append(queue, int(*next))
		}
	}
	return t
}
