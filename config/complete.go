package config

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/berth-run/berth/config/companions"
)

// Places of the host that the first instance on it uses, and others do not.
const (
	hostCNIConfDir = "/etc/cni/net.d"
	hostCertsDir   = "/etc/containerd/certs.d"
)

var hostCDIDirs = []string{"/etc/cdi", "/var/run/cdi"}

// Complete fills in the defaults that follow other keys. Load does this; only
// who makes a Config by hand has to.
func (c *Config) Complete() {
	p := c.Paths()
	c.Address = strings.TrimPrefix(c.Address, unixScheme)
	c.Containerd.Address = strings.TrimPrefix(c.Containerd.Address, unixScheme)
	orElse(&c.Address, p.Socket())
	if c.CNI.BinDirs == nil {
		c.CNI.BinDirs = pluginDirs()
	}
	// Starting is nearly all work for a processor: more of them at once are ready no sooner, and
	// calls that only look have to wait longer for one.
	orElse(&c.Pod.MaxConcurrentStarts, max(4, 2*runtime.NumCPU()))
	orElse(&c.Container.MaxConcurrentStarts, max(4, 2*runtime.NumCPU()))
	orElse(&c.Image.MaxConcurrentUnpacks, max(2, runtime.NumCPU()))
	for name, h := range c.Runtime.Handlers {
		if h.Shim == "" && h.Path == "" {
			h.Path = name
			c.Runtime.Handlers[name] = h
		}
	}
	if c.alone() {
		c.completeAlone()
	} else {
		c.completeMoved(p)
	}
}

// alone reports whether this is the instance that uses the host's usual places.
func (c *Config) alone() bool { return filepath.Clean(c.State) == DefaultState }

func (c *Config) completeAlone() {
	orElse(&c.CNI.ConfDir, hostCNIConfDir)
	orElse(&c.Image.RegistryConfigDir, hostCertsDir)
	if c.CDI.SpecDirs == nil {
		c.CDI.SpecDirs = append([]string(nil), hostCDIDirs...)
	}
	orElse(&c.CNI.DefaultNetwork.Bridge, "berth0")
	if c.CNI.DefaultNetwork.Subnets == nil {
		c.CNI.DefaultNetwork.Subnets = []string{"10.98.0.0/16", "fd62:6572:7468:98::/64"}
	}
}

// completeMoved chooses places below root, and names and addresses that are this
// instance's own with all likelihood: two bridges of one name, or two address
// pools with the same range, would break both instances.
func (c *Config) completeMoved(p Paths) {
	orElse(&c.CNI.ConfDir, p.cniConfDir())
	orElse(&c.Image.RegistryConfigDir, p.certsDir())
	if c.CDI.SpecDirs == nil {
		c.CDI.SpecDirs = []string{p.cdiDir()}
	}
	if !c.isSet("metrics.address") && c.Metrics.Address == DefaultMetricsAddress {
		c.Metrics.Address = "127.0.0.1:0"
	}
	sum := sha256.Sum256([]byte(filepath.Clean(c.State)))
	orElse(&c.CNI.DefaultNetwork.Bridge, fmt.Sprintf("br%x", sum[:4]))
	if c.CNI.DefaultNetwork.Subnets == nil {
		c.CNI.DefaultNetwork.Subnets = []string{
			fmt.Sprintf("10.%d.%d.0/20", 100+sum[4]%128, sum[5]&0xf0),
			fmt.Sprintf("fd62:6572:7468:%x::/64", 0x100+(uint32(sum[6])<<8|uint32(sum[7]))%0xff00),
		}
	}
}

// pluginDirs are the directories of the CNI plugins when none are configured.
func pluginDirs() []string {
	finder, err := companions.New()
	if err != nil {
		finder = &companions.Finder{}
	}
	return finder.CNIDirs()
}

func orElse[T comparable](key *T, value T) {
	var zero T
	if *key == zero {
		*key = value
	}
}
