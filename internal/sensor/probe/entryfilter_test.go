package probe

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// Calls on entries of directories that no pattern asks for are left out.
func TestEntryFilter(t *testing.T) {
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	if err := os.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", "link"); err != nil {
		t.Fatal(err)
	}
	sub, err := unix.Open("sub", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sub)
	const succeeded, failed = 1, 2
	set, err := pathset.New([]pathset.Pattern{
		{Text: dir + "/sub/secret", Kind: pathset.Exact, Mask: asked(succeeded | failed)},
		{Text: dir + "/made", Kind: pathset.Prefix, Mask: asked(succeeded)},
		{Text: "raw", Kind: pathset.Exact, Mask: asked(failed)},
	})
	if err != nil {
		t.Fatal(err)
	}
	filter := byFacts(set)
	kinds := []event.Kind{event.KindUnlinkat, event.KindMkdirat, event.KindRenameat, event.KindRenameat2, event.KindLinkat, event.KindMknodat,
		event.KindFchmodat, event.KindFchownat, event.KindNewfstatat}
	for _, k := range kinds {
		filter.Calls[k] = [2]uint64{failed, succeeded}
	}
	const cwd = unix.AT_FDCWD
	for _, tc := range []struct {
		name string
		nr   uintptr
		args []any
		kind event.Kind
		sent bool
	}{
		{"another name", unix.SYS_UNLINKAT, []any{cwd, "other", 0}, event.KindUnlinkat, false},
		{"a name behind a descriptor", unix.SYS_UNLINKAT, []any{sub, "secret", 0}, event.KindUnlinkat, true},
		{"the same name elsewhere", unix.SYS_UNLINKAT, []any{cwd, "secret", 0}, event.KindUnlinkat, false},
		{"a name as given", unix.SYS_UNLINKAT, []any{cwd, "raw", 0}, event.KindUnlinkat, true},
		{"a path", unix.SYS_UNLINKAT, []any{cwd, "sub/other", 0}, event.KindUnlinkat, false},
		{"a path that is asked for", unix.SYS_UNLINKAT, []any{cwd, "sub/secret", 0}, event.KindUnlinkat, true},
		{"a name of a word", unix.SYS_UNLINKAT, []any{cwd, "12345678", 0}, event.KindUnlinkat, false},
		{"a name of words", unix.SYS_UNLINKAT, []any{cwd, strings.Repeat("x", 250), 0}, event.KindUnlinkat, false},
		{"a name with bytes beside the slash", unix.SYS_UNLINKAT, []any{cwd, ".0.\xaf.", 0}, event.KindUnlinkat, false},
		{"a slash at the end of a word", unix.SYS_UNLINKAT, []any{cwd, "1234567/x", 0}, event.KindUnlinkat, true},
		{"a slash behind a word", unix.SYS_UNLINKAT, []any{cwd, "12345678/", 0}, event.KindUnlinkat, true},
		{"a slash behind words", unix.SYS_UNLINKAT, []any{cwd, strings.Repeat("x", 247) + "/y", 0}, event.KindUnlinkat, true},
		{"a name that starts with dots", unix.SYS_UNLINKAT, []any{cwd, "..x", 0}, event.KindUnlinkat, false},
		{"an absolute path", unix.SYS_UNLINKAT, []any{cwd, dir + "/other", 0}, event.KindUnlinkat, false},
		{"an absolute path that is asked for", unix.SYS_UNLINKAT, []any{sub, dir + "/sub/secret", 0}, event.KindUnlinkat, true},
		{"the directory", unix.SYS_UNLINKAT, []any{cwd, ".", unix.AT_REMOVEDIR}, event.KindUnlinkat, true},
		{"its parent", unix.SYS_UNLINKAT, []any{cwd, "..", unix.AT_REMOVEDIR}, event.KindUnlinkat, true},
		{"no name", unix.SYS_UNLINKAT, []any{cwd, "", 0}, event.KindUnlinkat, true},
		{"no path", unix.SYS_UNLINKAT, []any{cwd, nil, 0}, event.KindUnlinkat, true},
		{"no directory", unix.SYS_UNLINKAT, []any{999, "other", 0}, event.KindUnlinkat, true},
		{"a directory that was made", unix.SYS_MKDIRAT, []any{cwd, "made", 0o700}, event.KindMkdirat, true},
		{"and is there", unix.SYS_MKDIRAT, []any{cwd, "made", 0o700}, event.KindMkdirat, false},
		{"another", unix.SYS_MKDIRAT, []any{cwd, "unmade", 0o700}, event.KindMkdirat, false},
		{"a node", unix.SYS_MKNODAT, []any{cwd, "node", unix.S_IFREG | 0o600, 0}, event.KindMknodat, false},
		{"a rename", unix.SYS_RENAMEAT2, []any{cwd, "node", cwd, "other", 0}, event.KindRenameat2, false},
		{"a link", unix.SYS_LINKAT, []any{cwd, "other", cwd, "node", 0}, event.KindLinkat, false},
		{"a link to what it follows", unix.SYS_LINKAT, []any{cwd, "link", cwd, "third", unix.AT_SYMLINK_FOLLOW}, event.KindLinkat, true},
		{"to what is no link", unix.SYS_LINKAT, []any{cwd, "other", cwd, "third", unix.AT_SYMLINK_FOLLOW}, event.KindLinkat, false},
		{"a mode", unix.SYS_FCHMODAT, []any{cwd, "sub", 0o700}, event.KindFchmodat, false},
		{"behind a link", unix.SYS_FCHMODAT, []any{cwd, "link", 0o700}, event.KindFchmodat, true},
		{"of no file", unix.SYS_FCHMODAT, []any{cwd, "missing", 0o700}, event.KindFchmodat, true},
		{"an owner", unix.SYS_FCHOWNAT, []any{cwd, "sub", 0, 0, 0}, event.KindFchownat, false},
		{"of a link", unix.SYS_FCHOWNAT, []any{cwd, "link", 0, 0, unix.AT_SYMLINK_NOFOLLOW}, event.KindFchownat, true},
		{"a status", unix.SYS_NEWFSTATAT, []any{cwd, dir + "/sub", buffer(144), 0}, event.KindNewfstatat, false},
		{"of a name that is asked for", unix.SYS_NEWFSTATAT, []any{cwd, "made", buffer(144), 0}, event.KindNewfstatat, true},
		{"to a name that is asked for", unix.SYS_RENAMEAT2, []any{cwd, "other", sub, "secret", 0}, event.KindRenameat2, true},
		{"from it", unix.SYS_RENAMEAT2, []any{sub, "secret", cwd, "other", 0}, event.KindRenameat2, true},
		{"to a path", unix.SYS_RENAMEAT2, []any{cwd, "other", cwd, "sub/x", 0}, event.KindRenameat2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := Interest{Syscalls: ids("unlinkat", "mkdirat", "renameat", "renameat2", "linkat", "mknodat", "fchmodat", "fchownat", "newfstatat"), Opens: filter}
			tr := traceInterest(t, p, in, func() { raw(tc.nr, tc.args...) })
			want := tc.sent || thisObject(t) == "oldest" || !looksUpPaths(t) && needsLookUp(tc.kind, tc.args)
			if sent := len(tr.of(tc.kind, os.Getpid())) > 0; sent != want {
				t.Errorf("sent %v, want %v", sent, want)
			}
		})
	}
}

// needsLookUp says whether a call's path is more than a single name, or may end in
// a link that the call follows.
func needsLookUp(kind event.Kind, args []any) bool {
	several := slices.ContainsFunc(args, func(arg any) bool {
		path, ok := arg.(string)
		return ok && strings.Contains(path, "/")
	})
	follows := kind == event.KindLinkat && args[4] != 0
	return several || follows || kind == event.KindFchmodat || kind == event.KindFchownat || kind == event.KindNewfstatat
}
