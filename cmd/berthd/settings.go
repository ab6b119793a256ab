package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/metrics"
)

// The functions below say to each part, in its own terms, what the
// configuration says.

func engineOptions(c *config.Config) engine.Options {
	p := c.Paths()
	return engine.Options{
		Root:           p.ContainerdRoot(),
		State:          p.ContainerdState(),
		Address:        p.ContainerdSocket(),
		ShimSockets:    p.ForeignShims(),
		External:       c.Containerd.Address,
		ConnectTimeout: c.Containerd.ConnectTimeout.Duration,
		Check:          checkCommand(),
		Quarantine:     p.Quarantine(),
		Debug:          c.Log.Level == "debug" || c.Log.Level == "trace",
	}
}

func imageOptions(c *config.Config) imageservice.Options {
	i := c.Image
	return imageservice.Options{
		Namespace:             engine.Namespace,
		Snapshotter:           c.Containerd.Snapshotter,
		RegistryConfigDir:     i.RegistryConfigDir,
		ResolveTimeout:        i.ResolveTimeout.Duration,
		StallTimeout:          i.ProgressTimeout.Duration,
		MinBytesPerSecond:     i.MinThroughput,
		MaxUnpackedSize:       i.MaxUnpackedSize,
		PullTimeout:           i.PullTimeout.Duration,
		RemoveTimeout:         i.RemoveTimeout.Duration,
		MaxConcurrentPulls:    i.MaxConcurrentPulls,
		MaxParallelLayers:     i.MaxConcurrentDownloads,
		MaxParallelUnpacks:    i.MaxConcurrentUnpacks,
		DiscardUnpackedLayers: i.DiscardUnpackedLayers,
		PinnedImages:          i.Pinned,
	}
}

func cniOptions(c *config.Config) (cni.Options, error) {
	p, n := c.Paths(), c.CNI
	network := cni.DefaultNetwork{
		Enabled: n.DefaultNetwork.Enabled,
		Bridge:  n.DefaultNetwork.Bridge,
		DataDir: p.CNIAddresses(),
		MTU:     n.DefaultNetwork.MTU,
	}
	if b := n.DefaultNetwork.Backend; b != "auto" {
		network.Backend = b
	}
	for _, s := range n.DefaultNetwork.Subnets {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return cni.Options{}, fmt.Errorf("cni.default_network.subnets: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		network.Subnets = append(network.Subnets, prefix)
	}
	maxConfs := n.MaxConfs
	if maxConfs == 0 {
		maxConfs = 1 << 10 // the manager's zero is one; there is no unlimited
	}
	return cni.Options{
		ConfDir:      n.ConfDir,
		BinDirs:      n.BinDirs,
		CacheDir:     p.CNICache(),
		MaxConfs:     maxConfs,
		IPPreference: n.IPPreference,
		Default:      network,
		Timeouts: cni.Timeouts{
			Add:    n.AddTimeout.Duration,
			Del:    n.DelTimeout.Duration,
			GC:     n.GCTimeout.Duration,
			Status: n.StatusTimeout.Duration,
		},
		StatusInterval: n.StatusInterval.Duration,
	}, nil
}

// cgroupDriver is the driver as cgroup.Detect takes it: empty asks the host.
func cgroupDriver(d config.CgroupDriver) string {
	if d == config.CgroupAuto {
		return ""
	}
	return string(d)
}

func streamingConfig(c *config.Config) (streaming.Config, error) {
	s := c.Streaming
	certs, err := serverTLS(s.TLSCertFile, s.TLSKeyFile, s.TLSClientCAFile)
	if err != nil {
		return streaming.Config{}, fmt.Errorf("TLS of the streaming server: %w", err)
	}
	return streaming.Config{
		Address:         net.JoinHostPort(s.Address, strconv.Itoa(s.Port)),
		TLS:             certs,
		IdleTimeout:     s.IdleTimeout.Duration,
		CreationTimeout: s.CreationTimeout.Duration,
		DialTimeout:     s.DialTimeout.Duration,
	}, nil
}

// metricsOptions leaves the health checks to the caller. An empty address means
// that there is to be no server.
func metricsOptions(c *config.Config) (metrics.ServerOptions, error) {
	m := c.Metrics
	certs, err := serverTLS(m.TLSCertFile, m.TLSKeyFile, m.TLSClientCAFile)
	if err != nil {
		return metrics.ServerOptions{}, fmt.Errorf("TLS of the metrics server: %w", err)
	}
	return metrics.ServerOptions{Address: m.Address, TLS: certs, TokenFile: m.TokenFile}, nil
}

// serverTLS makes the TLS configuration of a server, nil without a certificate.
// Certificate and key are read again for new connections once they changed, so
// that a renewed one needs no restart.
func serverTLS(cert, key, clientCA string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	pair := &keyPair{cert: cert, key: key}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
	if clientCA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM: %w", clientCA, errdefs.ErrInvalidArgument)
	}
	return t, nil
}
