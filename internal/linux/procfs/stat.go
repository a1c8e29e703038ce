package procfs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit of times in /proc: USER_HZ, 100 a second on all
// architectures (include/asm-generic/param.h).
const Tick = time.Second / 100

// Stat holds the fields of /proc/PID/stat that are used: proc_pid_stat(5).
type Stat struct {
	Comm         string
	State        byte // 'R', 'S', 'D', 'Z', ...
	PPID, PGID   int32
	TTY          uint32
	MinorFaults  uint64
	MajorFaults  uint64
	User, System time.Duration // CPU time
	Threads      int32         // those that have not ended; at least 1
	Start        uint64        // ticks since boot
	Virtual, RSS uint64        // bytes
}

// Ended says whether only the exit status is left of the process. A main thread
// that has ended before others is a zombie, and the process is not.
func (s Stat) Ended() bool { return s.State == 'X' || s.State == 'Z' && s.Threads <= 1 }

// StartTime is the time from boot to the start of the process.
func (s Stat) StartTime() time.Duration { return time.Duration(s.Start) * Tick }

var pageSize = uint64(os.Getpagesize())

// firstField is the manual's number of the field that follows the name.
const firstField = 3

// ParseStat reads the text of a stat file. The name may hold anything, blanks,
// parentheses and newlines too, and is not escaped: fields are counted after
// its closing parenthesis, the last one in the file.
func ParseStat(text []byte) (Stat, error) {
	i, j := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if i < 0 || j < i {
		return Stat{}, fmt.Errorf("stat %.80q: expected PID (NAME) STATE and numbers", text)
	}
	v := strings.Fields(string(text[j+1:]))
	if len(v) <= 24-firstField {
		return Stat{}, fmt.Errorf("stat %.80q: %d fields after the name, expected at least %d", text, len(v), 24-firstField+1)
	}
	num := func(field int) uint64 { // some are signed: two's complement keeps their bits
		s := v[field-firstField]
		if strings.HasPrefix(s, "-") {
			n, _ := strconv.ParseInt(s, 10, 64)
			return uint64(n)
		}
		return number(s, 10)
	}
	return Stat{
		Comm: string(text[i+1 : j]), State: v[0][0],
		PPID: int32(num(4)), PGID: int32(num(5)), TTY: uint32(num(7)),
		MinorFaults: num(10), MajorFaults: num(12),
		User: time.Duration(num(14)) * Tick, System: time.Duration(num(15)) * Tick,
		Threads: int32(num(20)), Start: num(22), Virtual: num(23), RSS: num(24) * pageSize,
	}, nil
}
