package procfs

import "strings"

// Mount is a line of /proc/PID/mountinfo: proc_pid_mountinfo(5).
type Mount struct {
	Root    string // the directory of the file system that the mount shows
	Point   string // where it is mounted
	Type    string // of the file system, "ext4"
	Source  string
	Options []string // of the file system: for cgroup v1 its controllers are among them
}

// ParseMounts reads the text of a mountinfo file; lines that are not of its
// form are left out.
func ParseMounts(text string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(text) {
		// "ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL ...] - TYPE SOURCE OPTIONS"
		before, after, ok := strings.Cut(line, " - ")
		left := strings.Fields(before)
		right := strings.SplitN(strings.TrimSuffix(after, "\n"), " ", 3) // a source may be empty
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		mounts = append(mounts, Mount{
			Root: unescape(left[3]), Point: unescape(left[4]),
			Type: unescape(right[0]), Source: unescape(right[1]), Options: strings.Split(right[2], ","),
		})
	}
	return mounts
}

// unescape undoes the octal escapes of mountinfo, mounts and the like: a
// backslash and three digits for each byte that is syntax there
// (fs/proc_namespace.c: mangle; lib/seq_file: mangle_path).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) && s[i+1] < '4' {
			b = append(b, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func octal(c byte) bool { return '0' <= c && c <= '7' }
