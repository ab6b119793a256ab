package side

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/host"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// PauseImage is the sandbox image of containerd's CRI plugin.
const PauseImage = content.Pause

// Host is what the sides share.
type Host struct {
	// Dir has everything that belongs to this run, on a tmpfs of its own.
	Dir string
	// Bin has the binaries that are compared, Certs the hosts.toml files.
	Bin, Certs string
	Registry   *registry.Registry
	Sides      []*Side

	id      string
	network byte   // second byte of the pods' addresses, so that two runs do not meet
	dataDir string // of the daemons' root directories
	before  host.Snapshot
}

// Options of a Host.
type Options struct {
	// Bin is the directory with Berth and its companions.
	Bin string
	// Data is a directory for what the daemons keep, on a fresh XFS for example; empty
	// is the tmpfs.
	Data string
}

// NewHost makes the directories and the registry with the images that pods need.
func NewHost(ctx context.Context, o Options) (_ *Host, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the benchmark needs root: runtimes make namespaces, mounts and control groups")
	}
	if o.Bin, err = filepath.Abs(o.Bin); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	var random [3]byte
	_, _ = rand.Read(random[:])
	h := &Host{Bin: o.Bin, id: dirPrefix + hex.EncodeToString(random[:]), network: 128 + random[0]%96}
	h.Dir = filepath.Join(os.TempDir(), h.id)
	h.Certs = filepath.Join(h.Dir, "certs.d")
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if err := h.mount(o.Data); err != nil {
		return nil, err
	}
	if h.Registry, err = registry.Start(registry.Options{}); err != nil {
		return nil, err
	}
	if err := h.Registry.WriteHosts(h.Certs, images.Upstreams()...); err != nil {
		return nil, err
	}
	if err := content.PushBase(h.Registry); err != nil {
		return nil, err
	}
	h.before, err = host.Take(ctx, h.scope())
	return h, err
}

// mount makes the tmpfs, and says who owns it.
func (h *Host) mount(data string) error {
	if err := os.Mkdir(h.Dir, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("bench", h.Dir, "tmpfs", 0, "size=75%,mode=0711"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	h.dataDir = filepath.Join(h.Dir, "data")
	if data != "" {
		h.dataDir = filepath.Join(data, h.id)
	}
	if err := os.MkdirAll(h.dataDir, 0o711); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.Dir, ownerFile), []byte(owner(os.Getpid())+"\n"+h.dataDir+"\n"), 0o644)
}

// Add prepares the side of that name, without starting it.
func (h *Host) Add(name string) (_ *Side, err error) {
	s := &Side{Name: name}
	if s.Dir, err = h.sideDir(name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.data(s), 0o711); err != nil {
		return nil, err
	}
	if err := h.writeNetwork(s, len(h.Sides)); err != nil {
		return nil, err
	}
	if s.Group, err = acct.NewGroup(h.cgroup(name)); err != nil {
		return nil, err
	}
	switch name {
	case Berth, External:
		err = h.newBerth(s, name == External)
	case Containerd:
		err = h.newContainerd(s)
	default:
		err = fmt.Errorf("there is no side %q; there are %s, %s and %s", name, Berth, External, Containerd)
	}
	if err != nil {
		return nil, err
	}
	h.Sides = append(h.Sides, s)
	return s, s.dial()
}

func (h *Host) sideDir(name string) (string, error) {
	dir := filepath.Join(h.Dir, name)
	return dir, os.MkdirAll(filepath.Join(dir, "logs"), 0o711)
}

// cgroup is the path of a side's cgroup.
func (h *Host) cgroup(name string) string { return "/" + h.id + "/" + name }

// data is the directory for what a side's daemon keeps.
func (h *Host) data(s *Side) string { return filepath.Join(h.dataDir, s.Name) }

// shared is a program of which all sides use the same file.
func (h *Host) shared(name string) string { return filepath.Join(h.Bin, name) }

// copyBinaries gives the side files of its own of programs that stay in memory. Sides
// that ran the same file would share its pages, and show less memory each.
func (h *Host) copyBinaries(s *Side, names ...string) error {
	dir := filepath.Join(s.Dir, "bin")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	for _, name := range names {
		if err := copyFile(filepath.Join(h.Bin, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%w (make build)", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// DataDir is where the daemons' root directories are.
func (h *Host) DataDir() string { return h.dataDir }
