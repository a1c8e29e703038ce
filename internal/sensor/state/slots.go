package state

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// execExtras are the slots of an exec's extras. All parameters before them are
// those of execve, also in execveat.
type execExtras struct{ sid, start, vpid int }

var (
	execveExtras   = execExtras{event.ExecveSid, event.ExecveStart, event.ExecveVpid}
	execveatExtras = execExtras{event.ExecveatSid, event.ExecveatStart, event.ExecveatVpid}
)

// credSlots are those of cur_inheritable, 0 for kinds that do not change
// capabilities; cur_permitted and cur_effective follow.
var credSlots = func() (s [event.NumKinds]int) {
	for k := range event.Kind(event.NumKinds) {
		s[k] = max(k.Info().Slot("cur_inheritable"), 0)
	}
	return s
}()

// tells are the kinds that tell of changes: those that the table needs, and
// those that it makes use of if a rule or a capture has them.
var tells = func() (tells [event.NumKinds]bool) {
	for k := range event.Kind(event.NumKinds) {
		tells[k] = k.Info().Traits&event.ModifiesState != 0
	}
	tells[event.KindSetrlimit], tells[event.KindPrlimit] = true, true
	return tells
}()

// LearnsFrom says whether the table learns from events of a kind.
func LearnsFrom(k event.Kind) bool { return tells[k] }

// Needs says whether the kernel must send the successful calls of a kind for the
// table's sake. Of a change of directory, the next event of the process tells
// (event.View.CWD).
func Needs(k event.Kind) bool { return tells[k] && k != event.KindChdir && k != event.KindFchdir }
