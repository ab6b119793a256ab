package packedspec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	api "github.com/containerd/containerd/api/services/containers/v1"
	_ "github.com/containerd/containerd/v2/client" // names the types
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// usual is the spec that Berth makes of what a kubelet asks for.
func usual(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../container/ocispec/testdata/kubelet.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Spec specs.Spec }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	golden.Spec.Linux.Seccomp = seccomp.DefaultProfile(&golden.Spec)
	text, err = json.Marshal(&golden.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func asJSON(text []byte) *anypb.Any { return &anypb.Any{TypeUrl: jsonType, Value: text} }

func pack(t *testing.T, text []byte) *anypb.Any {
	t.Helper()
	a, err := Pack(asJSON(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRoundTrip(t *testing.T) {
	for name, text := range map[string][]byte{
		"usual": usual(t), "empty": []byte("{}"), "nothing": nil, "large": bytes.Repeat(usual(t), 100),
	} {
		a := pack(t, text)
		if a.GetTypeUrl() != packedType {
			t.Errorf("%s: %s", name, a.GetTypeUrl())
		}
		back, err := Unpack(a)
		if err != nil || back.GetTypeUrl() != jsonType || !bytes.Equal(back.GetValue(), text) {
			t.Errorf("%s: %v, %v", name, back, err)
		}
	}
}

// TestType: containerd knows specs by this name.
func TestType(t *testing.T) {
	if url, err := typeurl.TypeURL(&specs.Spec{}); err != nil || url != jsonType {
		t.Errorf("%s, %v", url, err)
	}
}

// TestOthers: what is no spec in JSON is left alone, and so is what is not packed.
func TestOthers(t *testing.T) {
	other := &anypb.Any{TypeUrl: "another", Value: []byte("x")}
	if a, err := Pack(other); a != other || err != nil {
		t.Errorf("%v, %v", a, err)
	}
	for _, a := range []*anypb.Any{other, asJSON([]byte("{}"))} {
		if got, err := Unpack(a); got != a || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestSize: what the package is for. The database gives a container 4 KiB at least, of which
// the rest of its record is half.
func TestSize(t *testing.T) {
	text := usual(t)
	if size := len(pack(t, text).GetValue()); size > 1200 || len(text) < 8000 {
		t.Errorf("%d bytes of %d", size, len(text))
	}
}

// TestStored: what an earlier build has stored can be read.
func TestStored(t *testing.T) {
	raw, err := base64.StdEncoding.DecodeString("I3faGXmGOSkzT7+kqBTsUdgkMO65zloA")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ociVersion":"1.3.0","process":{"user":{"uid":0,"gid":0},"args":["/bin/true"],"cwd":"/"},"root":{"path":"rootfs"}}`
	if got, err := Unpack(&anypb.Any{TypeUrl: packedType, Value: raw}); err != nil || string(got.GetValue()) != want {
		t.Errorf("%s, %v", got.GetValue(), err)
	}
}

// TestDictionary: what is stored can only be read with the very same dictionary.
func TestDictionary(t *testing.T) {
	sum := sha256.Sum256(dictionary)
	if got := hex.EncodeToString(sum[:]); got != "df30c9eb4aa0c7c0fe2045721a1da3306c56763d65575ad8d8402e2ae7b59bdb" {
		t.Errorf("the dictionary of %s has changed (sha256 %s): make another one, with a type of its own, and keep this", packedType, got)
	}
	if len(dictionary) > 8<<10 {
		t.Errorf("%d bytes, of which only the last 8 KiB are used", len(dictionary))
	}
}

func TestDamaged(t *testing.T) {
	good := pack(t, usual(t)).GetValue()
	for name, bad := range map[string][]byte{
		"empty": nil, "truncated": good[:len(good)/2], "garbage": bytes.Repeat([]byte{0xff}, 100),
	} {
		if _, err := Unpack(&anypb.Any{TypeUrl: packedType, Value: bad}); !errdefs.IsDataLoss(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Unpack(&anypb.Any{TypeUrl: packedPrefix + "2", Value: good}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("packed by a newer build: %v", err)
	}
}

// database keeps one container as it gets it.
type database struct {
	api.ContainersClient
	c *api.Container
}

func (d *database) Create(_ context.Context, in *api.CreateContainerRequest, _ ...grpc.CallOption) (*api.CreateContainerResponse, error) {
	d.c = in.Container
	return &api.CreateContainerResponse{Container: d.copy()}, nil
}

func (d *database) Update(_ context.Context, in *api.UpdateContainerRequest, _ ...grpc.CallOption) (*api.UpdateContainerResponse, error) {
	d.c = in.Container
	return &api.UpdateContainerResponse{Container: d.copy()}, nil
}

func (d *database) Get(context.Context, *api.GetContainerRequest, ...grpc.CallOption) (*api.GetContainerResponse, error) {
	return &api.GetContainerResponse{Container: d.copy()}, nil
}

func (d *database) List(context.Context, *api.ListContainersRequest, ...grpc.CallOption) (*api.ListContainersResponse, error) {
	return &api.ListContainersResponse{Containers: []*api.Container{d.copy()}}, nil
}

func (d *database) copy() *api.Container {
	return &api.Container{ID: d.c.ID, Spec: &anypb.Any{TypeUrl: d.c.Spec.GetTypeUrl(), Value: d.c.Spec.GetValue()}}
}

// TestContainers: the database has specs packed, its users have JSON.
func TestContainers(t *testing.T) {
	db, ctx, text := &database{}, t.Context(), usual(t)
	s := Containers(db)
	container := func() *api.Container { return &api.Container{ID: "a", Spec: asJSON(text)} }
	created, err := s.Create(ctx, &api.CreateContainerRequest{Container: container()})
	if err != nil {
		t.Fatal(err)
	}
	if db.c.Spec.GetTypeUrl() != packedType {
		t.Errorf("the database has %s", db.c.Spec.GetTypeUrl())
	}
	updated, err := s.Update(ctx, &api.UpdateContainerRequest{Container: container()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, &api.GetContainerRequest{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := s.List(ctx, &api.ListContainersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*api.Container{
		"create": created.Container, "update": updated.Container, "get": got.Container, "list": listed.Containers[0],
	} {
		if c.Spec.GetTypeUrl() != jsonType || !bytes.Equal(c.Spec.GetValue(), text) {
			t.Errorf("%s gives %s", what, c.Spec.GetTypeUrl())
		}
	}
	db.c.Spec.Value = []byte{0xff}
	if _, err := s.Get(ctx, &api.GetContainerRequest{ID: "a"}); !errdefs.IsDataLoss(errgrpc.ToNative(err)) {
		t.Errorf("a damaged spec: %v", err)
	}
	if all, err := s.List(ctx, &api.ListContainersRequest{}); err != nil || len(all.Containers) != 1 {
		t.Errorf("a list with a damaged spec: %v, %v", all, err)
	}
}
