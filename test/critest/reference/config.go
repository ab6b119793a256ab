package reference

// configTOML is containerd's configuration. This machine may lack CAP_SYS_RESOURCE,
// hence restrict_oom_score_adj.
const configTOML = `version = 4
root = "{{.Dir}}/root"
state = "{{.Dir}}/state"
imports = []

[plugins.'io.containerd.server.v1.grpc']
  address = "{{.Dir}}/containerd.sock"
[plugins.'io.containerd.server.v1.ttrpc']
  address = "{{.Dir}}/containerd.sock.ttrpc"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{{.Pause}}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{{.Certs}}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{{.Bin}}/cni"]
  conf_dir = "{{.Dir}}/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "{{.Bin}}/containerd-shim-runc-v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{{.Bin}}/runc"
  Root = "{{.Dir}}/runc"
`

const conflist = `{
  "cniVersion": "1.0.0",
  "name": "berth-reference",
  "plugins": [
    {
      "type": "bridge", "bridge": "{{.Bridge}}", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "{{.Dir}}/ipam",
        "ranges": [[{"subnet": "10.231.64.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`
