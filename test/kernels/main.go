// Command kernels runs tests of the probe and of the sensor on Debian's
// kernels, each in a virtual machine of its own:
//
//	go run ./test/kernels              # all of them
//	go run ./test/kernels 5.10 6.1     # some
//	go run ./test/kernels -arch arm64  # those of another architecture
//	go run ./test/kernels ./vmlinuz    # any other kernel with BTF
//
// Kernels come from Debian's archive by apt, and are kept. A machine is qemu's,
// emulated where there is no KVM; its only file system is an initramfs of the
// tests, the binary, a few of Debian's programs and our own init. It reports
// on the serial console. No privileges are needed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	arch                       arch
	cache, mirror, only, accel string
	limit                      time.Duration
	memory, cpus               int
	update, verbose            bool
}

// cached is the path of a cached file of the architecture.
func (o options) cached(name string) string { return filepath.Join(o.cache, o.arch.name, name) }

func main() {
	log.SetFlags(0)
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		initMain() // does not return
	}
	home, err := os.UserCacheDir()
	if err != nil {
		home = os.TempDir()
	}
	var o options
	archName := flag.String("arch", runtime.GOARCH, "architecture of the machines, of "+strings.Join(archNames(), ", "))
	flag.StringVar(&o.cache, "cache", filepath.Join(home, "peregrine-kernels"), "where kernels and programs are kept")
	flag.StringVar(&o.mirror, "mirror", "http://deb.debian.org/debian", "Debian's archive; the security archive is this with -security behind")
	flag.StringVar(&o.only, "only", "", "run these jobs, of "+strings.Join(jobNames(), ", ")+", each with =PATTERN for some of its tests (comma-separated; default all but those that run alone, which are the measurements)")
	// With a thread for each CPU, qemu 7.2 goes on executing the breakpoints
	// that a kernel patches over, for ever, when a tracepoint gets its first program.
	flag.StringVar(&o.accel, "accel", "tcg,thread=single", "qemu's accelerator: tcg emulates, kvm needs /dev/kvm")
	flag.DurationVar(&o.limit, "limit", 40*time.Minute, "time limit of one machine")
	flag.IntVar(&o.memory, "memory", 1536, "MiB of memory of a machine")
	flag.IntVar(&o.cpus, "cpus", 2, "CPUs of a machine")
	flag.BoolVar(&o.update, "update", false, "look for newer kernels than those kept")
	flag.BoolVar(&o.verbose, "v", false, "show the console")
	flag.Parse()
	if o.arch, err = archByName(*archName); err != nil {
		log.Fatal(err)
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, flag.Args())
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run tests the named kernels and prints a row for each job of each.
func run(ctx context.Context, o options, names []string) error {
	if len(names) == 0 {
		for _, k := range o.arch.kernels {
			names = append(names, k.name)
		}
	}
	dir, err := os.MkdirTemp("", "peregrine-kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	jobs, err := selectJobs(o.only)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(o.arch.qemu); err != nil {
		return fmt.Errorf("%w (Debian has it in %s)", err, o.arch.pkg)
	}
	log.Print("building the tests")
	machines := machines(jobs)
	for i, m := range machines {
		if err := buildImage(ctx, o, dir, imageOf(dir, i), m); err != nil {
			return fmt.Errorf("make the initramfs: %w", err)
		}
	}
	var failed []string
	for _, name := range names {
		vmlinuz, err := kernelImage(ctx, o, name)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", name, err)
		}
		good := true
		for i, m := range machines {
			good = try(ctx, o, name, vmlinuz, imageOf(dir, i), m) && good
		}
		if !good {
			failed = append(failed, name)
		}
	}
	if len(failed) > 0 {
		return errors.New("failed on " + strings.Join(failed, ", "))
	}
	return nil
}

func imageOf(dir string, machine int) string {
	return filepath.Join(dir, fmt.Sprint("initramfs", machine))
}

// try runs a machine, and is false if its jobs did not end well.
func try(ctx context.Context, o options, name, vmlinuz, image string, jobs []job) bool {
	log.Printf("%s: booting %s %s", name, filepath.Base(vmlinuz), jobs[0].kernel)
	start := time.Now()
	r, err := boot(ctx, o, vmlinuz, image, jobs[0])
	if err == nil {
		err = r.check(jobs)
	}
	if err != nil {
		log.Printf("%s: %v", name, err)
	}
	r.print(os.Stdout, jobs, time.Since(start))
	return err == nil
}

// kernelImage is the file to boot: a path, or one of Debian's kernels.
func kernelImage(ctx context.Context, o options, name string) (string, error) {
	if strings.Contains(name, "/") {
		_, err := os.Stat(name)
		return name, err
	}
	i := slices.IndexFunc(o.arch.kernels, func(k kernel) bool { return k.name == name })
	if i < 0 {
		return "", fmt.Errorf("expected one of %v, or the path of a vmlinuz", o.arch.kernels)
	}
	return o.arch.kernels[i].fetch(ctx, o)
}
