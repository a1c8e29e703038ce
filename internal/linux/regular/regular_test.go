package regular

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadJSON(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe, large := filepath.Join(dir, "pipe"), file("large", "")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	good := file("good", `{"rounds": [1, 2]}`)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		good: "", link: "",
		pipe: "no regular file", dir: "no regular file", "/dev/zero": "no regular file",
		large: "more than 64 MiB",
		file("many", `{"rounds":[`+strings.Repeat("{},", maxValues)+`{}]}`): "more than a million values",
		filepath.Join(dir, "none"): "no such file",
	} {
		text, err := ReadJSON(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && len(text) == 0 {
			t.Errorf("%s: %q, %v; want %q", path, text, err, want)
		}
	}
}
