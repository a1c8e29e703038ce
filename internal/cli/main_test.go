package cli

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// The test binary is the generator's worker process.
func TestMain(m *testing.M) {
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	// It is also the sensor, which bench and capacity start, and with this variable
	// the whole program.
	if len(os.Args) > 1 && (os.Args[1] == "sensor" || os.Getenv("PEREGRINE_TEST_MAIN") == "1" && !strings.HasPrefix(os.Args[1], "-")) {
		os.Exit(Main(OS()))
	}
	leaks.Main(m)
}

// lockedBuffer is an output that several goroutines of a command write to, as
// they may to a file.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
