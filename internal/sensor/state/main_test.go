package state_test

import (
	"os"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) {
	if os.Getenv(titledHelper) != "" {
		nameSelf()
		return
	}
	leaks.Main(m)
}
