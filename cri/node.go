package cri

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
)

const (
	// runtimeName is VersionResponse.runtime_name, which the kubelet makes part of
	// the node's status and of container IDs ("berth://…").
	runtimeName = "berth"
	apiVersion  = "v1"
	// kubeAPIVersion is what VersionResponse.version has always been.
	kubeAPIVersion = "0.1.0"
	// metadataIntact is a condition of Berth's own, shown when it is not met.
	metadataIntact = "MetadataIntact"
)

// NodeOptions is what the RPCs about the node answer from.
type NodeOptions struct {
	// Version of berthd.
	Version string
	// Network tells its readiness and takes the pod CIDR.
	Network interface {
		Status() cni.Status
		SetPodCIDR(string) error
	}
	// SavePodCIDR keeps the pod CIDR across restarts.
	SavePodCIDR func(string) error
	// Handlers and their features.
	Handlers []*runtimeapi.RuntimeHandler
	// Features of the runtime as a whole.
	Features *runtimeapi.RuntimeFeatures
	// Systemd reports whether the systemd cgroup driver is in use.
	Systemd bool
	// Ready returns nil when the runtime can run containers; it answers from memory.
	Ready func() error
	// Damage says what records the daemon lost before it started, "" for none. It does
	// not keep the node from working, but somebody should know.
	Damage string
	// Info is what the verbose Status tells, as JSON values by name.
	Info func() map[string]any
}

// node are the RPCs about the node.
type node struct{ NodeOptions }

// Version implements the RPC.
func (n node) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{
		Version:           kubeAPIVersion,
		RuntimeName:       runtimeName,
		RuntimeVersion:    n.NodeOptions.Version,
		RuntimeApiVersion: apiVersion,
	}, nil
}

// Status implements the RPC. It asks nobody: everything is in memory.
func (n node) Status(_ context.Context, r *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	network := n.Network.Status()
	runtime := &runtimeapi.RuntimeCondition{Type: runtimeapi.RuntimeReady, Status: true}
	if err := n.Ready(); err != nil {
		runtime.Status, runtime.Reason, runtime.Message = false, "ContainerdNotReady", err.Error()
	}
	resp := &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			runtime,
			{Type: runtimeapi.NetworkReady, Status: network.Ready, Reason: network.Reason, Message: network.Message},
		}},
		RuntimeHandlers: n.Handlers,
		Features:        n.Features,
	}
	if n.Damage != "" {
		resp.Status.Conditions = append(resp.Status.Conditions, &runtimeapi.RuntimeCondition{
			Type: metadataIntact, Status: false, Reason: "Quarantined", Message: n.Damage,
		})
	}
	if !r.GetVerbose() {
		return resp, nil
	}
	info := n.Info()
	info["network"] = network
	encoded, err := encodeInfo(info)
	if err != nil {
		return nil, err
	}
	resp.Info = encoded
	return resp, nil
}

// UpdateRuntimeConfig implements the RPC: it keeps the pod CIDR.
func (n node) UpdateRuntimeConfig(_ context.Context, r *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	cidr := r.GetRuntimeConfig().GetNetworkConfig().GetPodCidr()
	if cidr == "" {
		return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
	}
	if err := n.Network.SetPodCIDR(cidr); err != nil {
		return nil, err
	}
	return &runtimeapi.UpdateRuntimeConfigResponse{}, n.SavePodCIDR(cidr)
}

// RuntimeConfig implements the RPC.
func (n node) RuntimeConfig(context.Context, *runtimeapi.RuntimeConfigRequest) (*runtimeapi.RuntimeConfigResponse, error) {
	driver := runtimeapi.CgroupDriver_CGROUPFS
	if n.Systemd {
		driver = runtimeapi.CgroupDriver_SYSTEMD
	}
	return &runtimeapi.RuntimeConfigResponse{Linux: &runtimeapi.LinuxRuntimeConfiguration{CgroupDriver: driver}}, nil
}
