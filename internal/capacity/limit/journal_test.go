package limit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournalOrder(t *testing.T) {
	host := tree(t, map[string]string{"a": "2"})
	j := newJournal(t, host)
	path := host.path("a")
	check(t, j.add(step{Kind: "write", Path: path, Value: "0"}))
	check(t, j.add(step{Kind: "write", Path: path, Value: "1"}))
	check(t, j.Undo())
	if got := contents(t, host, "a")["a"]; got != "0" {
		t.Errorf("after Undo the file holds %q, want the oldest value", got)
	}
	if _, err := os.Stat(j.file.Path()); err == nil {
		t.Error("the journal is still there")
	}
}

func TestRecoverHostileJournals(t *testing.T) {
	for name, text := range map[string]string{
		"cut":    "{\"owner_pid\":999999999,\"owner_start\":1}\n{\"kind\":\"write\",\"path\":\"/nonexistent/dir/x\",\"value\":\"1\"}\n{\"kind\":\"mk",
		"kind":   "{\"owner_pid\":999999999,\"owner_start\":1}\n{\"kind\":\"format-disk\"}\n",
		"reused": "{\"owner_pid\":999999999,\"owner_start\":1}\n{\"kind\":\"process\",\"pid\":1,\"start\":12345678901}\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "1.journal")
			check(t, os.WriteFile(file, []byte(text), 0o600))
			done, err := Recover(dir, Host{})
			wantErr := map[string]string{"kind": "format-disk"}[name]
			if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
				t.Errorf("Recover: %v, %v; want error %q", done, err, wantErr)
			}
			_, statErr := os.Stat(file)
			if kept := statErr == nil; kept != (wantErr != "") {
				t.Errorf("journal kept: %v", kept)
			}
		})
	}
}

// A run sees another one that is going on by its journal, not itself.
func TestAlone(t *testing.T) {
	dir := t.TempDir()
	j, err := OpenJournal(dir, Host{})
	check(t, err)
	check(t, Alone(dir))
	run := command(t, "journal", "LIMIT_TEST_JOURNAL="+dir)
	out, err := run.StdoutPipe()
	check(t, err)
	in, err := run.StdinPipe()
	check(t, err)
	defer in.Close()
	check(t, run.Start())
	_, err = out.Read(make([]byte, 1))
	check(t, err)
	if err := Alone(dir); err == nil || !strings.Contains(err.Error(), "another capacity run is in progress") {
		t.Errorf("beside another run: %v", err)
	}
	check(t, run.Process.Kill())
	_ = run.Wait()
	check(t, Alone(dir))
	check(t, j.Undo())
}
