package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// bareRunc runs runc by hand, as runtimes do and with the OCI spec of a container that Berth has
// made: what is left of a call when there is no runtime at all.
type bareRunc struct {
	side                   *side.Side
	runc, root, bundle, id string
	netns                  string // of other containers like this one; empty for its own
}

// bareRunc is nil where Berth does not take part.
func (e *Env) bareRunc(p *pod.Pod) *bareRunc {
	if p == nil {
		return nil
	}
	state := filepath.Join(p.Side.Dir, "run")
	return &bareRunc{
		side: p.Side,
		runc: filepath.Join(e.Host.Bin, "runc"), root: filepath.Join(state, "runc", engine.Namespace),
		bundle: filepath.Join(state, "containerd", engine.PodTasksDir, engine.Namespace, p.ContainerID), id: p.ContainerID,
	}
}

// exec takes the time of one runc exec of true in the container.
func (b *bareRunc) exec(ctx context.Context) (time.Duration, error) {
	return b.run(ctx, b.root, "exec", b.id, "true")
}

// start takes the time of runc create and runc start of another container like this one.
func (b *bareRunc) start(ctx context.Context) (_ time.Duration, err error) {
	dir, err := os.MkdirTemp("", "bench-bundle-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	group, err := b.copyTo(dir)
	if err != nil {
		return 0, err
	}
	root, id := filepath.Join(dir, "state"), "floor"
	created, err := b.run(ctx, root, "create", "--bundle", dir, id)
	if err != nil {
		return 0, err
	}
	started, err := b.run(ctx, root, "start", id)
	_, derr := b.run(context.WithoutCancel(ctx), root, "delete", "--force", id)
	return created + started, errors.Join(err, derr, acct.RemovePod(group))
}

// copyTo makes a bundle out of the container's: the same, but for its cgroup.
func (b *bareRunc) copyTo(dir string) (group string, err error) {
	text, err := os.ReadFile(filepath.Join(b.bundle, "config.json"))
	if err != nil {
		return "", err
	}
	var s specs.Spec
	if err := json.Unmarshal(text, &s); err != nil {
		return "", err
	}
	s.Root.Path = filepath.Join(b.bundle, "rootfs")
	s.Linux.CgroupsPath += "-floor"
	for i := range s.Linux.Namespaces {
		if ns := &s.Linux.Namespaces[i]; ns.Type == specs.NetworkNamespace && b.netns != "" {
			ns.Path = b.netns
		}
	}
	if text, err = json.Marshal(&s); err != nil {
		return "", err
	}
	return s.Linux.CgroupsPath, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}

func (b *bareRunc) run(ctx context.Context, root string, args ...string) (time.Duration, error) {
	cmd := osexec.CommandContext(ctx, b.runc, append([]string{"--root", root}, args...)...)
	// No pipes: a container holds them open for as long as it lives.
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("runc %s: %w", args[0], err)
	}
	return took, nil
}

// addFloor measures one, and adds it to metrics as what there is without a runtime.
func (e *Env) addFloor(ctx context.Context, of func(context.Context) (time.Duration, error), metrics ...report.Metric) error {
	took, err := of(ctx)
	if err != nil {
		return fmt.Errorf("the floor of %s: %w", metrics[0].Title, err)
	}
	for _, m := range metrics {
		e.Result.Add(m, report.Floor, ms(took))
	}
	return nil
}
