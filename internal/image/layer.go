package image

import (
	"archive/tar"
	"bytes"
	"os"
	"path"
	"slices"
	"strings"
)

// layer is the image's file system as a tar archive.
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
	for _, name := range sorted(img.Files) {
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
	for _, name := range sorted(img.Texts) {
		if err := writeFile(w, strings.TrimPrefix(name, "/"), 0o644, []byte(img.Texts[name])); err != nil {
			return nil, err
		}
	}
	for _, name := range sorted(img.Links) {
		header := &tar.Header{Name: strings.TrimPrefix(name, "/"), Typeflag: tar.TypeSymlink, Linkname: img.Links[name], Mode: 0o777}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// directories returns those that the image's files lie in, and those that
// runtimes mount on, parents first.
func (img Image) directories() []string {
	all := []string{"dev", "etc", "proc", "run", "sys", "tmp"}
	for _, names := range []map[string]string{img.Files, img.Texts, img.Links} {
		for name := range names {
			for dir := path.Dir(strings.TrimPrefix(name, "/")); dir != "."; dir = path.Dir(dir) {
				all = append(all, dir)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func writeFile(w *tar.Writer, name string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
