// Package image writes container images without a daemon or a registry: one
// layer, as an archive that is an OCI layout and a "docker save" at once, so
// that containerd, Podman and Docker all load it. The same content gives the
// same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Image describes the contents of the archive.
type Image struct {
	Tag        string            // HOST/NAME:TAG
	Files      map[string]string // path in the image to path here
	Texts      map[string]string // path in the image to content
	Links      map[string]string // path in the image to the symlink's target
	Entrypoint []string
	Cmd        []string
	User       string
	Labels     map[string]string
}

// blob is a part of the archive that its digest names.
type blob struct {
	Type    string `json:"mediaType"`
	Digest  string `json:"digest"`
	Size    int    `json:"size"`
	content []byte
}

func newBlob(kind string, content []byte) blob {
	return blob{"application/vnd.oci.image." + kind, fmt.Sprintf("sha256:%x", sha256.Sum256(content)), len(content), content}
}

// path is the blob's place in an OCI layout.
func (b blob) path() string { return "blobs/sha256/" + strings.TrimPrefix(b.Digest, "sha256:") }

// Write writes the archive
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md and
// https://github.com/moby/moby/blob/master/image/spec/v1.2.md).
func (img Image) Write(w io.Writer) error {
	content, err := img.layer()
	if err != nil {
		return fmt.Errorf("image %s: %w", img.Tag, err)
	}
	layer := newBlob("layer.v1.tar", content)
	config := newBlob("config.v1+json", encode(img.config(layer.Digest)))
	manifest := newBlob("manifest.v1+json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []blob{layer},
	}))
	index := map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
		"mediaType": manifest.Type, "digest": manifest.Digest, "size": manifest.Size,
		"platform":    map[string]string{"architecture": runtime.GOARCH, "os": "linux"},
		"annotations": map[string]string{"io.containerd.image.name": img.Tag, "org.opencontainers.image.ref.name": img.Tag},
	}}}
	saved := []any{map[string]any{"Config": config.path(), "RepoTags": []string{img.Tag}, "Layers": []string{layer.path()}}}
	archive := tar.NewWriter(w)
	for _, part := range []struct {
		name    string
		content []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{layer.path(), layer.content}, {config.path(), config.content}, {manifest.path(), manifest.content},
		{"index.json", encode(index)}, {"manifest.json", encode(saved)},
	} {
		if err := writeFile(archive, part.name, 0o644, part.content); err != nil {
			return fmt.Errorf("image %s: %w", img.Tag, err)
		}
	}
	return archive.Close()
}

// config is the image's configuration.
func (img Image) config(layer string) any {
	return map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{
			"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			"Entrypoint": img.Entrypoint, "Cmd": img.Cmd, "User": img.User, "Labels": img.Labels,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer}},
		"history": []any{map[string]any{"created": time.Unix(0, 0).UTC(), "created_by": "peregrine"}},
	}
}

func encode(v any) []byte {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // maps, texts and numbers can always be written
	}
	return bytes.TrimSpace(b.Bytes())
}

// sorted are the keys of a map, in order: the archive must not depend on
// chance.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
