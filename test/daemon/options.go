package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-run/berth/test/images"
)

// Options of a daemon; the zero value is one with an embedded containerd.
type Options struct {
	// External runs containerd as a process of its own, its CRI plugin disabled.
	External bool
	// Config is TOML that is put into the configuration file as it is.
	Config string
	// LongState gives the state directory the greatest length that berthd takes
	// with the containerd inside it.
	LongState bool
	// Certs is a certs.d directory for registries; empty is that of the shared
	// registry.
	Certs string
	// LogLevel of berthd; "debug" when empty.
	LogLevel string
	// Env is added to berthd's environment.
	Env []string
	// BinDir has berthd and its companions; bin/ of the source tree when empty.
	BinDir string
	// NoCleanupCheck leaves out the check at the end that nothing is left on the host.
	NoCleanupCheck bool
}

// companions are the programs without which no daemon can be tested.
var companions = []string{"berthd", "berth-shim", "berth-init", "runc", "containerd", "ctr", "cni/bridge"}

// Missing says what a daemon needs and this machine does not have; nil when all is
// there.
func Missing() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: berthd makes namespaces, mounts and control groups")
	}
	bin, err := BinDir()
	if err != nil {
		return err
	}
	for _, name := range companions {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return fmt.Errorf("needs %s: run make build", filepath.Join(bin, name))
		}
	}
	return nil
}

// Require skips the test where no daemon can run. make test expects no such skip.
func Require(t testing.TB) {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skip(err)
	}
}

// BinDir is bin/ of the source tree.
func BinDir() (string, error) {
	root, err := images.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "bin"), nil
}
