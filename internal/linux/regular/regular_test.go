package regular

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

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
	good := file("good", `{"rounds": [{}, {}]}`)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	type round struct {
		Large [256]uint64
		Next  *round
		Names map[string]string
	}
	type run struct {
		Rounds []round
		Lists  [][]round
	}
	for path, want := range map[string]string{
		good: "", link: "",
		pipe: "not a regular file", dir: "not a regular file", "/dev/zero": "not a regular file",
		large:               "more than 64 MiB",
		file("half", `{"r`): "",
		file("rounds", `{"rounds":[`+strings.Repeat("{},", 200_000)+`{}]}`):                                "more than 256 MiB of memory",
		file("nothing", `{"ROUNDS":[`+strings.Repeat("null,", 200_000)+`{}]}`):                             "more than 256 MiB of memory",
		file("lists", `{"lists":[[`+strings.Repeat("{}],[", 200_000)+`]]}`):                                "more than 256 MiB of memory",
		file("next", `{"rounds":[`+strings.Repeat(`{"next":{}},`, 100_000)+`{}]}`):                         "more than 256 MiB of memory",
		file("others", `{"others":[`+strings.Repeat("{},", 200_000)+`{}],"rounds":[{"names":{"a":"b"}}]}`): "",
		filepath.Join(dir, "none"): "no such file",

		file("lists in lists", strings.Repeat("[", 8<<20)):                                                        "more than 10,000 levels",
		file("rounds in rounds", strings.Repeat(`{"rounds":[`, 1<<20)):                                            "more than 10,000 levels",
		file("few levels", strings.Repeat("[", 5000)+strings.Repeat("[],", 20_000)+"0"+strings.Repeat("]", 5000)): "",
	} {
		var into run
		leaks.Within(t, 1<<30, func() {
			text, err := ReadJSON(path, &into)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && len(text) == 0 {
				t.Errorf("%s: %d bytes, %v; want %q", path, len(text), err, want)
			}
		})
	}
}
