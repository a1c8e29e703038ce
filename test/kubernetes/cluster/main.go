// Command cluster compiles and runs the Kubernetes of the tests.
//
//	cluster build   compiles what is missing, into the cache
//	cluster up      runs a cluster until Ctrl-C
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/peregrine-sec/peregrine/test/kubernetes"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || args[0] != "build" && args[0] != "up" {
		return fmt.Errorf("usage: cluster build | up")
	}
	if err := kubernetes.Build(os.Stdout); err != nil || args[0] == "build" {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	c, err := kubernetes.Start(kubernetes.Options{})
	if err != nil {
		return err
	}
	fmt.Printf("ready; in another shell:\n\n\talias kubectl='%s'\n\nCtrl-C ends it.\n", c.Kubectl())
	<-end
	return c.Stop()
}
