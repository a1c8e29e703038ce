// Falcoclient receives alerts with Falco's own client library and prints them
// as JSON lines. It is a program of its own since that library and ours
// register the same messages.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/version"
	"github.com/falcosecurity/client-go/pkg/client"
)

func main() {
	var c client.Config
	var port uint
	flag.StringVar(&c.UnixSocketPath, "unix", "", "")
	flag.StringVar(&c.Hostname, "host", "localhost", "")
	flag.UintVar(&port, "port", 0, "")
	flag.StringVar(&c.CertFile, "cert", "", "")
	flag.StringVar(&c.KeyFile, "key", "", "")
	flag.StringVar(&c.CARootFile, "ca", "", "")
	mode := flag.String("mode", "watch", "watch, get or version")
	count := flag.Int("n", 1, "alerts to wait for")
	flag.Parse()
	c.Port = uint16(port)
	if err := run(&c, *mode, *count); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(c *client.Config, mode string, count int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := client.NewForConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := json.NewEncoder(os.Stdout)
	switch mode {
	case "version":
		service, err := conn.Version()
		if err != nil {
			return err
		}
		r, err := service.Version(ctx, &version.Request{})
		if err != nil {
			return err
		}
		return out.Encode(r)
	case "get":
		service, err := conn.Outputs()
		if err != nil {
			return err
		}
		stream, err := service.Get(ctx, &outputs.Request{})
		if err != nil {
			return err
		}
		for {
			r, err := stream.Recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := out.Encode(r); err != nil {
				return err
			}
		}
	}
	err = conn.OutputsWatch(ctx, func(r *outputs.Response) error {
		if err := out.Encode(r); err != nil {
			return err
		}
		if count--; count == 0 {
			return io.ErrClosedPipe // OutputsWatch has no other way to end well
		}
		return nil
	}, 50*time.Millisecond)
	if err == io.ErrClosedPipe {
		return nil
	}
	return err
}
