package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/metrics"
)

// banner is what a daemon that has become ready says of itself.
type banner struct {
	version string
	pid     int
	// address is the path of the CRI socket, containerd the one of containerd's.
	address, containerd string
	// crictl and ctr are how a user starts them from where berthd was started; empty: they were not found.
	crictl, ctr string
	// metrics is the address of the metrics; empty: there are none.
	metrics string
	// metricsOpen is the address at which other machines may read the metrics without a token; empty: none.
	metricsOpen string
	// network says what pods are connected with, or why networkReady is false.
	network      string
	networkReady bool
	quarantined  []engine.Quarantined
	// warnings say what the host lacks.
	warnings []string
}

// banner gathers what is said of the daemon.
func (d *daemon) banner() banner {
	network := d.network.Status()
	b := banner{
		version: version, pid: os.Getpid(),
		address: d.config.Address, containerd: d.engine.Address,
		network: network.Message, networkReady: network.Ready,
		quarantined: d.engine.Quarantined,
		warnings:    d.host.Warnings(),
	}
	workDir, err := os.Getwd()
	if err != nil {
		workDir = "" // it was removed: then paths are printed in full
	}
	b.crictl, b.ctr = typed(d.find, "crictl", workDir), typed(d.find, "ctr", workDir)
	if d.exporter != nil {
		b.metrics = metricsURL(d.exporter, d.config.Metrics.TLSCertFile != "")
		if metricsOpen(d.config.Metrics) {
			b.metricsOpen = d.config.Metrics.Address
		}
	}
	return b
}

// announce says where everything is: in plain lines on a terminal, as records of the log where a
// program reads them, which is systemd's journal or whoever asked for log.format = "json".
func (d *daemon) announce() {
	if d.config.Log.Format == "json" || inJournal() {
		d.banner().log(slog.Default())
		return
	}
	d.banner().print(os.Stderr)
}

// print writes the banner for a person.
func (b banner) print(w io.Writer) {
	fmt.Fprintf(w, "\nberthd %s is ready, pid %d\n", b.version, b.pid)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s "+format+"\n", append([]any{label}, args...)...)
	}
	line("CRI socket", "%s", b.address)
	if b.crictl != "" {
		line("crictl", "%s --runtime-endpoint unix://%s ps -a", b.crictl, b.address)
	}
	line("kubelet", "containerRuntimeEndpoint: unix://%s", b.address)
	if b.ctr != "" {
		line("containerd", "%s --address %s --namespace k8s.io containers ls", b.ctr, b.containerd)
	} else {
		line("containerd", "%s", b.containerd)
	}
	if b.metrics != "" {
		line("metrics", "%s", b.metrics)
	}
	if b.metricsOpen != "" {
		line("note", "%s", b.metricsNote())
	}
	if b.networkReady {
		line("network", "%s", b.network)
	} else {
		line("network", "not ready: %s", b.network)
	}
	for _, q := range b.quarantined {
		line("DEGRADED", "%s; its pods were ended", q)
	}
	for _, warning := range b.warnings {
		line("note", "%s", warning)
	}
	fmt.Fprintln(w)
}

// log writes the banner as records: one with the addresses, one for each thing that a person should know.
func (b banner) log(logger *slog.Logger) {
	attrs := []any{"version", b.version, "pid", b.pid, "address", b.address, "containerd", b.containerd}
	if b.metrics != "" {
		attrs = append(attrs, "metrics", b.metrics)
	}
	logger.Info("Ready", append(attrs, "network", b.network, "networkReady", b.networkReady)...)
	if !b.networkReady {
		logger.Warn("The network is not ready", "reason", b.network)
	}
	for _, q := range b.quarantined {
		logger.Error("A database was damaged and put aside; its pods were ended", "database", q.String())
	}
	if b.metricsOpen != "" {
		logger.Info("Note", "what", b.metricsNote())
	}
	for _, warning := range b.warnings {
		logger.Info("Note", "what", warning)
	}
}

func (b banner) metricsNote() string {
	return fmt.Sprintf("the metrics, with the names of all pods, are open to whoever reaches %s: set metrics.token_file", b.metricsOpen)
}

// typed returns how a user whose working directory is workDir starts the program called name: by the bare name
// when that is what PATH leads to, by a path below workDir, else by the absolute path. It is empty when the
// program is neither among what was built or installed with berthd nor in PATH.
func typed(find *companions.Finder, name, workDir string) string {
	path, err := find.Find(name)
	if err != nil {
		return ""
	}
	if firstInPath(find.Path, name) == path {
		return name
	}
	below, err := filepath.Rel(workDir, path)
	if workDir == "" || err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return path
	}
	if !strings.Contains(below, "/") {
		below = "./" + below // without a slash, a shell would look in PATH
	}
	return below
}

// firstInPath returns the file that a shell with this PATH executes for name; empty: none.
func firstInPath(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// metricsOpen reports whether other machines may read the metrics without showing who they are.
func metricsOpen(m config.Metrics) bool {
	host, _, err := net.SplitHostPort(m.Address)
	return err == nil && !config.IsLoopback(host) && m.TokenFile == "" && m.TLSClientCAFile == ""
}

func metricsURL(s *metrics.Server, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if s.Addr().Network() == "unix" {
		return "unix://" + s.Addr().String()
	}
	return fmt.Sprintf("%s://%s/metrics", scheme, s.Addr())
}
