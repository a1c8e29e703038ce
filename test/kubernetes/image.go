package kubernetes

import (
	"fmt"
	"os"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/image"
)

// Image is a container image of files of this machine.
type Image = image.Image

// Import makes the image known to the cluster's containerd.
func (c *Cluster) Import(t testing.TB, img Image) {
	t.Helper()
	if err := c.load(img); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) load(img Image) error {
	f, err := os.CreateTemp(c.dir, "image-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := img.Write(f); err != nil {
		return err
	}
	out, err := c.ctr("images", "import", f.Name()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import image %s: %w\n%s", img.Tag, err, out)
	}
	return nil
}
