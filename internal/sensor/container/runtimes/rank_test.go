package runtimes

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestRankOf(t *testing.T) {
	needs.Root(t) // to make files of users
	dir := t.TempDir()
	user := filepath.Join(dir, "user")
	if err := os.Mkdir(user, 0o755); err != nil {
		t.Fatal(err)
	}
	root := listen(t, filepath.Join(dir, "root.sock"))
	owned := listen(t, filepath.Join(dir, "owned.sock"))
	inside := listen(t, filepath.Join(user, "inside.sock"))
	link := filepath.Join(dir, "link.sock")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{user, owned, link} {
		if err := os.Lchown(path, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{root: 3, owned: userRank + 7, inside: userRank + 7, link: userRank + 7, "/nosuch": userRank + 7} {
		if got := rankOf(Endpoint{Socket: path, Rank: 3}, 7); got != want {
			t.Errorf("%s: rank %d, want %d", path, got, want)
		}
	}
}
