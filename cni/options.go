package cni

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
)

// Options configures a [Manager]. The zero value of every field but CacheDir and
// BinDirs has a usable default.
type Options struct {
	// ConfDir holds network configurations (.conflist, .conf, .json). Default /etc/cni/net.d.
	ConfDir string
	// BinDirs are searched for plugins, in this order. Required.
	BinDirs []string
	// CacheDir holds libcni's result cache (results/) and the attachment records
	// (attachments/). It is created with mode 0700. Required.
	CacheDir string
	// MaxConfs bounds how many configurations are used, in lexical order of their file
	// names; each gives the pod another interface (eth0, eth1, …). 0 means 1.
	MaxConfs int
	// IPPreference orders a pod's addresses: "cni" (as the plugin gave them, the default),
	// "ipv4" or "ipv6". The first one is the pod's primary address.
	IPPreference string
	// Default is the network used when ConfDir holds no configuration.
	Default DefaultNetwork
	// Timeouts are the deadlines of one plugin run, per verb.
	Timeouts Timeouts
	// StatusInterval is the period of CNI STATUS and of the rescan that backs up the
	// directory watch. Default 10 s.
	StatusInterval time.Duration
	// Observer, when set, is told about every plugin run and every operation.
	Observer Observer
}

// Timeouts bound one run of one plugin (not the whole list). Zero means the default.
type Timeouts struct {
	Add    time.Duration // default 60 s
	Del    time.Duration // default 60 s
	Check  time.Duration // default 15 s
	GC     time.Duration // default 10 s; new attachments wait for it, see Manager.GC
	Status time.Duration // default 5 s
}

// DefaultNetwork describes the built-in network: bridge, host-local, portmap and, when
// its binary is there, bandwidth. Nothing of it is written to the configuration directory.
type DefaultNetwork struct {
	// Enabled turns the built-in network on. When off, an empty directory means NotReady.
	Enabled bool
	// Name of the CNI network. Default "berth".
	Name string
	// Bridge is the host's bridge interface, at most 10 characters, because a pod CIDR
	// other than Subnets gets a bridge of its own (<Bridge>-<4 hex>). Default "berth0".
	Bridge string
	// Subnets are the pod ranges, at most one per family, IPv4 first.
	// Default 10.88.0.0/16 and fd00:10:88::/64. SetPodCIDR replaces them for new pods.
	Subnets []netip.Prefix
	// DataDir is where host-local keeps its reservations. Best on tmpfs (under the
	// state directory), because a reboot frees all addresses. Required when Enabled.
	DataDir string
	// MTU of the pod's interface in bytes; 0 leaves it to the kernel.
	MTU int
	// Backend of masquerading and port mapping: "nftables", "iptables", or "" for
	// nftables where the nft tool is installed, else iptables.
	Backend string
	// Promiscuous sets the bridge to promiscuous mode; hairpin mode is then off, since the
	// bridge plugin refuses both.
	Promiscuous bool
	// NoHairpin turns hairpin mode off, in which a pod can reach itself through its host port.
	NoHairpin bool
}

// Observer receives measurements. Its functions are called from the goroutine that did
// the work, so they must be quick; nil functions are skipped.
type Observer struct {
	// Plugin is called after each run of a plugin binary. verb is ADD, DEL, CHECK, GC,
	// STATUS or VERSION; err is nil or a *PluginError.
	Plugin func(plugin, verb string, err error, took time.Duration)
	// Operation is called after each Attach ("ADD"), Detach ("DEL"), Check and GC.
	Operation func(verb string, err error, took time.Duration)
	// ConfigLoaded is called when another configuration took effect, and when loading failed.
	ConfigLoaded func(Status)
}

// withDefaults fills in what was left out and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.ConfDir, "/etc/cni/net.d")
	setDefault(&o.MaxConfs, 1)
	setDefault(&o.IPPreference, "cni")
	setDefault(&o.StatusInterval, 10*time.Second)
	setDefault(&o.Timeouts.Add, time.Minute)
	setDefault(&o.Timeouts.Del, time.Minute)
	setDefault(&o.Timeouts.Check, 15*time.Second)
	setDefault(&o.Timeouts.GC, 10*time.Second)
	setDefault(&o.Timeouts.Status, 5*time.Second)
	invalid := func(format string, args ...any) (Options, error) {
		return o, fmt.Errorf("CNI options: "+format+": %w", append(args, errdefs.ErrInvalidArgument)...)
	}
	for _, dir := range append([]string{o.ConfDir, o.CacheDir}, o.BinDirs...) {
		if !filepath.IsAbs(dir) {
			return invalid("%q is not an absolute path", dir)
		}
	}
	if len(o.BinDirs) == 0 {
		return invalid("no directory to search for plugins")
	}
	if o.MaxConfs < 0 {
		return invalid("at most %d configurations", o.MaxConfs)
	}
	if p := o.IPPreference; p != "cni" && p != "ipv4" && p != "ipv6" {
		return invalid("IP preference %q is none of cni, ipv4, ipv6", p)
	}
	var err error
	o.Default, err = o.Default.withDefaults()
	if err != nil {
		return invalid("built-in network: %w", err)
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
