package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/test/host"
)

// Failpoints lists the places where the daemon can be broken, as it knows them.
func Failpoints() ([]string, error) {
	bin, err := BinDir()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(filepath.Join(bin, "berthd"), "failpoints").Output()
	return strings.Fields(string(out)), err
}

// Arm makes an action happen at a failpoint; for the actions see failpoint.ParseAction.
func (d *Daemon) Arm(ctx context.Context, point, action string) error {
	return d.debug(ctx, http.MethodPost, "/failpoints?point="+url.QueryEscape(point)+"&action="+url.QueryEscape(action))
}

// Disarm disarms all failpoints and lets go what hangs at one.
func (d *Daemon) Disarm(ctx context.Context) error {
	return d.debug(ctx, http.MethodDelete, "/failpoints")
}

// AwaitHit returns when a failpoint that was armed has been hit.
func (d *Daemon) AwaitHit(ctx context.Context, point string) error {
	return d.debug(ctx, http.MethodGet, "/failpoints/wait?point="+url.QueryEscape(point))
}

func (d *Daemon) debug(ctx context.Context, method, target string) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.Configuration.Paths().DebugSocket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://debug"+target, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("%s %s: %s: %s", method, target, resp.Status, text)
	}
	return nil
}

// StartWith starts berthd again with failpoints armed from the start, for instance
// "Recover/pods/do/before=kill". The error tells that it ended before it was ready.
func (d *Daemon) StartWith(ctx context.Context, failpoints string) error {
	env := d.Env
	d.Env = append(d.Env[:len(d.Env):len(d.Env)], failpoint.Env+"="+failpoints)
	defer func() { d.Env = env }()
	return d.startBerthd(ctx)
}

// Revive starts berthd, and an external containerd, if they do not run. It says whether
// it had to.
func (d *Daemon) Revive(ctx context.Context) (bool, error) {
	had := false
	if d.External && !d.containerd.alive() {
		had = true
		if err := d.startContainerd(ctx); err != nil {
			return had, err
		}
	}
	if !d.berthd.alive() {
		had = true
		if err := d.startBerthd(ctx); err != nil {
			return had, err
		}
	}
	return had, nil
}

// EndContainerd ends an external containerd with SIGKILL.
func (d *Daemon) EndContainerd() error {
	if d.ContainerdPID() == 0 {
		return errors.New("no external containerd runs")
	}
	d.containerd.kill()
	return nil
}

// StockOf takes stock of what there is on the host of the daemon's.
func (d *Daemon) StockOf(ctx context.Context) (host.Snapshot, error) {
	return host.Take(ctx, d.runningScope())
}

// Clean returns when nothing is on the host that was not there before.
func (d *Daemon) Clean(ctx context.Context, before host.Snapshot) error {
	return host.AwaitClean(ctx, d.runningScope(), before)
}
