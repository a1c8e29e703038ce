package kubernetes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Image is a container image of files of this machine, made without a daemon
// or a registry.
type Image struct {
	Tag        string            // localhost/name:tag
	Files      map[string]string // path in the image to path here
	Links      map[string]string // path in the image to what the symlink says
	Entrypoint []string
	User       string
}

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
	if err := img.write(f); err != nil {
		return fmt.Errorf("image %s: %w", img.Tag, err)
	}
	out, err := c.ctr("images", "import", f.Name()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import image %s: %w\n%s", img.Tag, err, out)
	}
	return nil
}

// write writes the image as "docker save" does: a layer, the configuration,
// and a manifest that names both
// (https://github.com/moby/moby/blob/master/image/spec/v1.2.md).
func (img Image) write(w io.Writer) error {
	layer, err := img.layer()
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{
			"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			"Entrypoint": img.Entrypoint, "User": img.User,
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]any{map[string]any{"Config": name, "RepoTags": []string{img.Tag}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, part := range []struct {
		name    string
		content []byte
	}{{"layer.tar", layer}, {name, config}, {"manifest.json", manifest}} {
		if err := writeFile(archive, part.name, 0o644, part.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (img Image) layer() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range img.directories() {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: mode}); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(img.Files)) {
		content, err := os.ReadFile(img.Files[name])
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(img.Files[name])
		if err != nil {
			return nil, err
		}
		if err := writeFile(w, strings.TrimPrefix(name, "/"), int64(info.Mode().Perm()), content); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(img.Links)) {
		header := &tar.Header{Name: strings.TrimPrefix(name, "/"), Typeflag: tar.TypeSymlink, Linkname: img.Links[name], Mode: 0o777}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// directories returns those that the image's files lie in, and those that
// runtimes mount on, parents first.
func (img Image) directories() []string {
	all := map[string]bool{"tmp": true, "etc": true, "proc": true, "sys": true, "dev": true, "run": true}
	for _, names := range []map[string]string{img.Files, img.Links} {
		for name := range names {
			for dir := path.Dir(strings.TrimPrefix(name, "/")); dir != "."; dir = path.Dir(dir) {
				all[dir] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func writeFile(w *tar.Writer, name string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
