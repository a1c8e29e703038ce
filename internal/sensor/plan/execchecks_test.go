package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// The parts of the texts that checks ask for; "possible" for a check that is taken
// as possible, "covered" for one that is evaluated.
func TestExecChecks(t *testing.T) {
	for _, tt := range []struct{ check, want string }{
		{"proc.args = -x", "-x"},
		{"proc.args == -x", "-x"},
		{"proc.args[1] = -X", "-x"},
		{`proc.args = ""`, "possible"},
		{`proc.args = " "`, "possible"},
		{`proc.args != ""`, "possible"},
		{"proc.args != x", "possible"},
		{"proc.args exists", "possible"},
		{"proc.args < 1", "possible"},
		{"proc.args >= 1", "possible"},
		{"proc.args regex \"x.*\"", "possible"},
		{"proc.args in (a, b)", "a b"},
		{`proc.args in (a, "")`, "possible"},
		{"proc.args in ()", ""},
		{"proc.args intersects (a, b)", "a b"},
		{`proc.args contains "a bcd e"`, "bcd"},
		{"proc.args icontains PaSsWoRdS", "password"},
		{"proc.args startswith /etc/shadow", "/etc/sha"},
		{"proc.args endswith .pem", ".pem"},
		{"proc.args contains anyof (a, b)", "a b"},
		{"proc.args contains allof (a, b)", "a b"},
		{"proc.args contains oneof (a, b)", "a b"},
		{"proc.args != anyof (a, b)", "possible"},
		{`proc.args contains anyof (a, "")`, "possible"},
		{"proc.args glob '*a?bcd*'", "bcd"},
		{"proc.args iglob '*Abc'", "abc"},
		{"proc.args glob 'ab[cdefgh]ijkl'", "ab"},
		{`proc.args glob "ab\\cdefgh"`, "ab"},
		{"proc.args glob '[a]bc'", "possible"},
		{"proc.args glob '*'", "possible"},
		{"proc.args pmatch (/etc/shadow, /x)", "shadow x"},
		{"proc.args pmatch (/etc/pa*)", "etc"},
		{"proc.args pmatch (/)", "possible"},
		{"proc.cmdline contains 'sh -c'", "sh"},
		{"proc.exeline startswith 'a -c'", "-c"},
		{"proc.env contains LD_PRELOAD", "ld_prelo"},
		{"proc.env[LD_PRELOAD] = /x", "/x"},
		{"proc.cwd = /tmp/", "/tmp"},
		{"proc.cwd startswith /tmp/x/", "/tmp/x"},
		{"proc.cwd glob '/tmp/*/abc/'", "/tmp"},
		{"proc.cwd = /", "possible"},
		{"proc.args = /tmp/", "/tmp/"},
		{"toupper(proc.args) contains ABC", "abc"},
		{"tolower(toupper(proc.args)) contains abc", "abc"},
		{"basename(proc.args) = x", "possible"},
		{"b64(proc.args) = x", "possible"},
		{"len(proc.args) > 3", "possible"},
		{"len(proc.args) > 4000", ""},
		{"len(proc.cmdline) >= 4000", ""},
		{"len(toupper(proc.exeline)) >= 4000", ""},
		{"len(proc.args[1]) = 4000", ""},
		{"len(proc.exeline) in (1, 4000)", "possible"},
		{"len(proc.exeline) < 4000", "possible"},
		{"len(proc.exeline) != 4000", "possible"},
		{"len(proc.exeline) > 2063", "possible"},
		{"len(proc.exeline) > 2064", ""},
		{"len(proc.exeline) >= 2064", "possible"},
		{"len(proc.env) > 4000", "possible"},
		{"len(proc.cwd) > 4000", "possible"},
		{"len(proc.args) > val(proc.tty)", "possible"},
		{"concat(proc.name, proc.args) contains x", "possible"},
		{"proc.args = val(proc.name)", "possible"},
		{"proc.name = val(proc.args)", "possible"},
		{"proc.aargs = x", "possible"},
		{"proc.acmdline contains x", "possible"},
		{"proc.pcmdline contains x", "possible"},
		{"proc.name = x", "covered"},
		{"proc.name != x", "covered"},
		{"proc.name = val(proc.pname)", "covered"},
		{"proc.name = val(proc.sname)", "possible"},
		{"basename(proc.exepath) = val(proc.name)", "covered"},
		{"proc.aname[2] in (a, b)", "covered"},
		{"thread.cgroup.memory = /", "covered"},
		{"container.label.app = x", "covered"},
		{"container.image.repository = x", "covered"},
		{"container.start_ts > 0", "possible"},
		{"proc.pid = 3", "possible"},
	} {
		c := checkOf(t, tt.check)
		got := "possible"
		if parts, ok := textParts(c); covered(c) {
			got = "covered"
		} else if ok {
			got = strings.Join(parts, " ")
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.check, got, tt.want)
		}
	}
}

// checkOf is the check as it is in the condition of a rule.
func checkOf(t *testing.T, text string) (check *filter.Check) {
	t.Helper()
	filter.Walk(load(t, "evt.type=execve and "+text)[0].Node, func(n filter.Node) {
		if c, ok := n.(*filter.Check); ok {
			check = c // the last
		}
	})
	return check
}

// Every field is covered or not; the covered ones stay from one exec to the next,
// unlike numbers and times of processes.
func TestCoveredFields(t *testing.T) {
	known := map[string]bool{}
	for _, f := range field.All() {
		name := f.Name
		if f.Arg == field.ArgRequired {
			name += "[0]"
		}
		list, ok := tryLoad(t, "evt.type=execve and "+name+" exists")
		if !ok || filter.IsFalse(filter.Specialise(list[0].Node, event.KindExecve, 0)) || isLoadTime(f.Name) {
			continue
		}
		known[f.Name] = true
		metadata := f.Flags&field.Metadata != 0
		want := metadata || slices.Contains(coveredFields, f.Name)
		if got := covered(checkOf(t, name+" exists")); got != want {
			t.Errorf("%s is covered: %v, want %v", f.Name, got, want)
		}
		if slices.Contains(textFields, f.Name) && want {
			t.Errorf("%s is covered, and a text", f.Name)
		}
		class, _, _ := strings.Cut(f.Name, ".")
		names := f.Type == field.String && (class == "user" || class == "group") // looked up by numbers that are covered
		if want && f.Stage != field.AtExec && !names {
			t.Errorf("%s is not a fact about the process", f.Name)
		}
		if want && f.Type == field.RelTime || want && metadata && !ofContainer(f.Name) {
			t.Errorf("%s does not stay", f.Name)
		}
	}
	for _, name := range slices.Concat(coveredFields, textFields) {
		if !known[name] {
			t.Errorf("there is no field %s", name)
		}
	}
}

// isLoadTime says whether the kind of event has the field's value.
func isLoadTime(name string) bool {
	return slices.Contains([]string{"evt.type", "syscall.type", "evt.dir", "evt.source", "evt.num"}, name)
}
