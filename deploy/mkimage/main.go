// mkimage writes the sensor's image as an OCI archive, from a binary that has
// been built:
//
//	go run ./deploy/mkimage -tag localhost/peregrine:1.2.3 -o dist/peregrine.oci.tar bin/peregrine
//
// The image has the binary, the rules, beside which others can be mounted, and
// the certificates of this machine's authorities, where there are some, for
// outputs over HTTPS; nothing else.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peregrine-sec/peregrine/internal/image"
)

// authorities is where Debian, Alpine and their kin have them.
const authorities = "/etc/ssl/certs/ca-certificates.crt"

func main() {
	tag := flag.String("tag", "localhost/peregrine:latest", "`NAME` of the image")
	rules := flag.String("rules", "rules", "`DIRECTORY` of the rules")
	out := flag.String("o", "peregrine.oci.tar", "archive to write")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkimage [-tag NAME] [-o ARCHIVE] BINARY")
		os.Exit(2)
	}
	if err := write(*out, *tag, *rules, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func write(archive, tag, rules, binary string) error {
	img := image.Image{
		Tag: tag, Files: map[string]string{"/usr/bin/peregrine": binary},
		Entrypoint: []string{"/usr/bin/peregrine"}, Cmd: []string{"sensor"},
		Labels: map[string]string{"org.opencontainers.image.title": "peregrine", "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	files, err := filepath.Glob(filepath.Join(rules, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no rules in %s: give -rules", rules)
	}
	for _, file := range files {
		img.Files["/usr/share/peregrine/rules/"+filepath.Base(file)] = file
	}
	if _, err := os.Stat(authorities); err == nil {
		img.Files[authorities] = authorities
	}
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	if err := img.Write(f); err != nil {
		f.Close()
		os.Remove(archive)
		return err
	}
	return f.Close()
}
