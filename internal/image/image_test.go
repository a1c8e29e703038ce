package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// entries lists the entries of a tar archive: name, mode, and content or
// target.
func entries(t *testing.T, archive []byte) []string {
	t.Helper()
	var all []string
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %o %s%s", h.Name, h.Mode, content, h.Linkname))
	}
}

// The layer has files, texts and links, with the directories that they lie in,
// parents first.
func TestLayer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	img := Image{
		Tag: "localhost/x:1", Files: map[string]string{"/usr/bin/x": program}, Texts: map[string]string{"/etc/passwd": "root", "/a/b/empty": ""},
		Links: map[string]string{"/bin/sh": "/usr/bin/x"},
	}
	layer, err := img.layer()
	if err != nil {
		t.Fatal(err)
	}
	got := entries(t, layer)
	want := []string{
		"a/ 755 ", "a/b/ 755 ", "bin/ 755 ", "dev/ 755 ", "etc/ 755 ", "proc/ 755 ", "run/ 755 ", "sys/ 755 ", "tmp/ 1777 ", "usr/ 755 ", "usr/bin/ 755 ",
		"usr/bin/x 755 run", "a/b/empty 644 ", "etc/passwd 644 root", "bin/sh 777 /usr/bin/x",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The archive is an OCI layout and a "docker save", and the same each time.
func TestWrite(t *testing.T) {
	img := Image{Tag: "localhost/x:1", Texts: map[string]string{"/a": "b"}, Entrypoint: []string{"/a"}, Labels: map[string]string{"k": "v"}}
	var archives [2]bytes.Buffer
	for i := range archives {
		if err := img.Write(&archives[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("two archives of one image differ")
	}
	text := strings.Join(entries(t, archives[0].Bytes()), "\n")
	for _, part := range []string{"oci-layout ", "index.json ", "manifest.json ", "blobs/sha256/", `"localhost/x:1"`, `"Entrypoint":["/a"]`, `"k":"v"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %.2000s", part, text)
		}
	}
	img.Files = map[string]string{"/x": "/nonexistent"}
	if err := img.Write(io.Discard); err == nil || !strings.Contains(err.Error(), "localhost/x:1") {
		t.Errorf("a file that is not there: %v", err)
	}
}
