package leaks

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestDescriptors(t *testing.T) {
	before := open()
	file, err := os.Create(t.TempDir() + "/left open")
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(before, open()); err == nil || !strings.Contains(err.Error(), "1 descriptors of "+file.Name()+", 0 before") {
		t.Errorf("an open file: %v", err)
	}
	file.Close()
	if err := settled(before); err != nil {
		t.Error(err)
	}
	runtime := map[string]int{"anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1}
	if err := compare(nil, runtime); err != nil {
		t.Errorf("the runtime's own: %v", err)
	}
	runtime["anon_inode:[eventpoll]"]++
	if err := compare(nil, runtime); err == nil {
		t.Error("another epoll descriptor is not found")
	}
}
