package procfs

import "strings"

// Status holds the fields of /proc/PID/status that are used:
// proc_pid_status(5). Kernels write different fields: missing ids are -1, other
// missing numbers 0.
type Status struct {
	Name                   string
	UID, GID               uint32 // effective
	VPID, VPGID, VSID      int32  // in the innermost pid namespace
	Threads                int32
	CapInh, CapPrm, CapEff uint64
	VMSize, VMRSS, VMSwap  uint32 // kB
}

// names undoes the escapes of a name (fs/proc/array.c: proc_task_name).
var names = strings.NewReplacer(`\n`, "\n", `\\`, `\`)

// parseStatus reads the text of a status file.
func parseStatus(text []byte) Status {
	s := Status{VPID: -1, VPGID: -1, VSID: -1}
	for key, value := range Fields(string(text)) {
		if key == "Name" {
			s.Name = names.Replace(value)
			continue
		}
		if v := strings.Fields(value); len(v) > 0 {
			s.set(key, v)
		}
	}
	return s
}

func (s *Status) set(key string, v []string) {
	last := v[len(v)-1]
	switch key {
	case "Uid": // real, effective, saved, filesystem
		s.UID = uint32(number(v[min(1, len(v)-1)], 10))
	case "Gid":
		s.GID = uint32(number(v[min(1, len(v)-1)], 10))
	case "NSpid": // outermost to innermost namespace
		s.VPID = int32(number(last, 10))
	case "NSpgid":
		s.VPGID = int32(number(last, 10))
	case "NSsid":
		s.VSID = int32(number(last, 10))
	case "Threads":
		s.Threads = int32(number(last, 10))
	case "CapInh":
		s.CapInh = number(last, 16)
	case "CapPrm":
		s.CapPrm = number(last, 16)
	case "CapEff":
		s.CapEff = number(last, 16)
	case "VmSize":
		s.VMSize = uint32(number(v[0], 10))
	case "VmRSS":
		s.VMRSS = uint32(number(v[0], 10))
	case "VmSwap":
		s.VMSwap = uint32(number(v[0], 10))
	}
}
