package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/container"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/handler"
)

// preflight compares a valid configuration with this program and this machine. It changes nothing, so
// that `berthd config check` finds without a start what a start would find.
type preflight struct {
	config *config.Config
	find   *companions.Finder

	mistakes config.Problems // starting again does not help
	missing  []error         // may come later
	warnings []string        // the daemon starts, and does not all that is configured
}

// runPreflight runs all checks. The error is one of the machine, not of the configuration.
func runPreflight(c *config.Config) (*preflight, error) {
	find, err := companions.New()
	if err != nil {
		return nil, err
	}
	p := &preflight{config: c, find: find}
	for _, key := range c.Retired() {
		p.warnings = append(p.warnings, key.String())
	}
	for _, check := range []func(){
		p.snapshotters, p.pins, p.cgroups, p.programs, p.handlers, p.blockIO, p.certificates, p.network,
	} {
		check()
	}
	return p, nil
}

// err is what keeps the daemon from starting. Mistakes are config.Problems, after which systemd does
// not start it again.
func (p *preflight) err() error {
	if len(p.mistakes) > 0 {
		return p.mistakes
	}
	return errors.Join(p.missing...)
}

func (p *preflight) mistake(key, format string, args ...any) {
	p.mistakes = append(p.mistakes, p.problem(key, fmt.Errorf(format, args...)))
}

func (p *preflight) lacks(key string, err error) {
	p.missing = append(p.missing, errors.New(p.problem(key, err).String()))
}

func (p *preflight) warn(key string, err error) {
	p.warnings = append(p.warnings, p.problem(key, err).String())
}

// problem gives a finding its place. The class at the end of the error is for programs, and left out.
func (p *preflight) problem(key string, err error) config.Problem {
	origin, _ := p.config.Origin(key)
	message := err.Error()
	for _, class := range []error{errdefs.ErrInvalidArgument, errdefs.ErrNotFound, errdefs.ErrFailedPrecondition} {
		message = strings.TrimSuffix(message, ": "+class.Error())
	}
	return config.Problem{Origin: origin, Key: key, Message: message}
}

// snapshotters looks for the names among the snapshotters of the containerd inside berthd. Which ones
// an external containerd has shows at the start.
func (p *preflight) snapshotters() {
	if p.config.Containerd.Address != "" {
		return
	}
	have := engine.EmbeddedSnapshotters()
	check := func(key, name string) {
		if name != "" && !slices.Contains(have, name) {
			p.mistake(key, "the containerd inside berthd has no snapshotter %q, it has %s; others need an external containerd (containerd.address)",
				name, strings.Join(have, ", "))
		}
	}
	check("containerd.snapshotter", p.config.Containerd.Snapshotter)
	for _, name := range p.handlerNames() {
		check("runtime.handlers."+name+".snapshotter", p.config.Runtime.Handlers[name].Snapshotter)
	}
}

func (p *preflight) pins() {
	if _, err := imageservice.ParsePins(p.config.Image.Pinned); err != nil {
		p.mistake("image.pinned", "%w", err)
	}
}

// cgroups finds a driver that the host does not have.
func (p *preflight) cgroups() {
	check := func(key string, driver config.CgroupDriver) {
		_, err := cgroup.Detect(cgroupDriver(driver))
		switch {
		case errdefs.IsFailedPrecondition(err) && driver != config.CgroupAuto:
			p.mistake(key, "%w", err)
		case err != nil:
			p.lacks(key, err)
		}
	}
	check("cgroup.driver", p.config.Cgroup.Driver)
	for _, name := range p.handlerNames() {
		if d := p.config.Runtime.Handlers[name].CgroupDriver; d != config.CgroupAuto {
			check("runtime.handlers."+name+".cgroup_driver", d)
		}
	}
}

// programs looks for the programs of Berth's own that every pod needs.
func (p *preflight) programs() {
	for _, name := range []string{companions.Shim, companions.Init} {
		if _, err := p.find.Find(name); err != nil {
			p.lacks("", err)
		}
	}
}

// handlers looks for the files of the handlers. Without the files of the default handler the daemon does not
// start; without the files of another handler it starts, and refuses the pods of that handler.
func (p *preflight) handlers() {
	r := p.config.Runtime
	for _, name := range p.handlerNames() {
		key := "runtime.handlers." + name
		err := handler.Check(name, r.Handlers[name], p.find, p.config.Containerd.Address == "")
		switch {
		case err == nil:
		case name != r.DefaultHandler:
			p.warn(key, fmt.Errorf("pods of this handler will be refused: %w", err))
		default:
			p.lacks(key, err)
		}
	}
}

func (p *preflight) blockIO() {
	if err := container.LoadBlockIO(p.config.Container.BlockIOConfigFile); err != nil {
		p.lacks("container.block_io_config_file", err)
	}
}

func (p *preflight) certificates() {
	if _, err := streamingConfig(p.config); err != nil {
		p.lacks("streaming.tls_cert_file", err)
	}
	if _, err := metricsOptions(p.config); err != nil {
		p.lacks("metrics.tls_cert_file", err)
	}
}

// network looks for what keeps pods from getting a network. The daemon starts without it, and takes
// up what comes later.
func (p *preflight) network() {
	options, err := cniOptions(p.config)
	if err != nil {
		p.mistake("cni", "%w", err)
		return
	}
	status, err := cni.Preview(options)
	switch {
	case err != nil:
		p.mistake("cni", "%w", err)
	case !status.Ready && status.Reason != cni.ReasonStatusPending:
		p.warn("cni", fmt.Errorf("only pods on the host's network can start: %s", status.Message))
	default:
		for _, s := range status.Skipped {
			p.warn("cni.conf_dir", fmt.Errorf("pods are not attached to the network of %s: %s", s.File, s.Reason))
		}
	}
}

func (p *preflight) handlerNames() []string {
	return slices.Sorted(maps.Keys(p.config.Runtime.Handlers))
}
