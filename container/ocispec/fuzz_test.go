package ocispec

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// FuzzBuild builds from any request and any image configuration: what Validate lets through is refused
// with an error, or gives a spec that a runtime can read and that is not larger than its input explains.
func FuzzBuild(f *testing.F) {
	image, err := json.Marshal(input().Image.Config)
	if err != nil {
		f.Fatal(err)
	}
	for _, change := range []func(*Input){
		func(*Input) {},
		func(in *Input) { sc(in).Privileged = true },
		func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{HostPath: "/link/new", ContainerPath: "a/../b", Propagation: 1}, {HostPath: "/shared", ContainerPath: "/b"}}
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/snd", ContainerPath: "x"}, {HostPath: "/dev/kvm", Permissions: "r"}}
			in.Config.Envs = []*runtimeapi.KeyValue{{Key: "A=B"}, {Key: "PATH", Value: []byte("\xff")}}
		},
		func(in *Input) {
			sc(in).Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"all", "NO"}, DropCapabilities: []string{"*"}, AddAmbientCapabilities: []string{"kill"}}
			sc(in).MaskedPaths, sc(in).ReadonlyPaths = []string{"proc/x", ""}, []string{"/proc/../y"}
			sc(in).SelinuxOptions = &runtimeapi.SELinuxOption{Type: "t"}
			in.Config.Annotations = map[string]string{"cdi.k8s.io/x": "v.com/gpu=0"}
		},
	} {
		in := input()
		change(&in)
		raw, err := proto.Marshal(in.Config)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, image)
	}
	f.Add([]byte{}, []byte(`{"Env":["=","A","A=","B=1"],"Entrypoint":[""],"Volumes":{"":{},"..":{},"/v":{}},"WorkingDir":"..","StopSignal":"-1","User":"::"}`))
	f.Fuzz(func(t *testing.T, request, image []byte) {
		in := input()
		var config runtimeapi.ContainerConfig
		var imageConfig ocispec.ImageConfig
		if proto.Unmarshal(request, &config) != nil || json.Unmarshal(image, &imageConfig) != nil {
			return
		}
		in.Config, in.Image.Config, in.CDI = &config, imageConfig, anyCDI{}
		if Validate(in.Config, in.Sandbox.Config) != nil {
			return
		}
		out, err := Build(in)
		if err != nil {
			return
		}
		readable(t, out.Spec)
		text, err := json.Marshal(out.Spec)
		if err != nil {
			t.Fatal(err)
		}
		// A byte becomes six where JSON escapes it, a mount of few bytes two hundred.
		if most := 64<<10 + 200*(len(request)+len(image)); len(text) > most {
			t.Errorf("%d bytes of request and %d of image make a spec of %d", len(request), len(image), len(text))
		}
	})
}

// readable checks what OCI runtimes insist on.
func readable(t *testing.T, s *specs.Spec) {
	if len(s.Process.Args) == 0 || !path.IsAbs(s.Process.Cwd) {
		t.Errorf("args %q in %q", s.Process.Args, s.Process.Cwd)
	}
	keys := map[string]bool{}
	for _, e := range s.Process.Env {
		key, _, ok := strings.Cut(e, "=")
		if !ok || key == "" || keys[key] {
			t.Errorf("environment has %q, or has it twice", e)
		}
		keys[key] = true
	}
	for _, c := range s.Process.Capabilities.Bounding {
		if !known(c) {
			t.Errorf("capability %q", c)
		}
	}
	for _, m := range s.Mounts {
		if m.Destination != path.Clean(m.Destination) || !path.IsAbs(m.Destination) || m.Destination == "/" {
			t.Errorf("mount at %q", m.Destination)
		}
	}
	for _, p := range append(append([]string{}, s.Linux.MaskedPaths...), s.Linux.ReadonlyPaths...) {
		if !path.IsAbs(p) {
			t.Errorf("hidden path %q", p)
		}
	}
	nodes := map[string]bool{}
	for _, d := range s.Linux.Devices {
		if !path.IsAbs(d.Path) || nodes[d.Path] {
			t.Errorf("device %q", d.Path)
		}
		nodes[d.Path] = true
	}
}
