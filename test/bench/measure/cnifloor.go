package measure

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/berth-run/berth/internal/netns"
	"github.com/berth-run/berth/test/bench/pod"
)

// podFloor starts a pod by hand, as Berth's: network namespace, the plugins' ADD, then runc create
// and runc start, one after the other as a kubelet asks for them.
type podFloor struct {
	*bareRunc
	conf    *libcni.NetworkConfigList
	plugins *libcni.CNIConfig
}

func (e *Env) podFloor(p *pod.Pod) (*podFloor, error) {
	conf, err := libcni.ConfListFromFile(filepath.Join(p.Side.Dir, "cni", "net.d", "10-bench.conflist"))
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(p.Side.Dir, "cni", "floor")
	return &podFloor{e.bareRunc(p), conf, libcni.NewCNIConfigWithCacheDir([]string{filepath.Join(e.Host.Bin, "cni")}, cache, nil)}, nil
}

// startWithNetwork takes the time of all of it.
func (f *podFloor) startWithNetwork(ctx context.Context) (_ time.Duration, err error) {
	dir, err := os.MkdirTemp(f.side.Dir, "floor-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, netns.Remove(context.WithoutCancel(ctx), dir)) }()
	began := time.Now()
	if err := netns.Create(ctx, netns.Spec{Dir: dir, Net: true}); err != nil {
		return 0, err
	}
	rt := &libcni.RuntimeConf{ContainerID: f.id + "floor", NetNS: netns.Path(dir, netns.Net), IfName: "eth0"}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, f.plugins.DelNetworkList(ctx, f.conf, rt))
	}()
	if _, err := f.plugins.AddNetworkList(ctx, f.conf, rt); err != nil {
		return 0, err
	}
	network := time.Since(began)
	f.netns = rt.NetNS
	container, err := f.start(ctx)
	return network + container, err
}
