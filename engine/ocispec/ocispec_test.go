package ocispec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func usual() *specs.Spec {
	s := &specs.Spec{
		Version: "1.3.0",
		Process: &specs.Process{
			Args: []string{"/bin/sh", "-c", "true"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}},
		},
		Root:  &specs.Root{Path: "rootfs"},
		Linux: &specs.Linux{CgroupsPath: "/kubepods/p/c"},
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s)
	return s
}

func TestRoundTrip(t *testing.T) {
	large := usual()
	for range 4000 {
		large.Process.Env = append(large.Process.Env, "SOME_SERVICE_PORT_443_TCP_ADDR=10.96.0.1")
	}
	for name, s := range map[string]*specs.Spec{"usual": usual(), "empty": {}, "large": large} {
		for _, pack := range []bool{true, false} {
			a, err := Marshal(s, pack)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Unmarshal(a)
			if err != nil {
				t.Fatalf("%s, packed %t: %v", name, pack, err)
			}
			want, _ := json.Marshal(s)
			got, _ := json.Marshal(back)
			if !bytes.Equal(got, want) {
				t.Errorf("%s, packed %t: %s", name, pack, got)
			}
			plain, err := Unpack(a)
			if err != nil || plain.GetTypeUrl() != jsonType || !bytes.Equal(plain.GetValue(), want) {
				t.Errorf("%s, packed %t: %v, %v", name, pack, plain, err)
			}
		}
	}
}

// TestSize: what the package is for. The database gives a container 4 KiB at least, of which
// its record is half.
func TestSize(t *testing.T) {
	text, _ := json.Marshal(usual())
	a, err := Marshal(usual(), true)
	if err != nil {
		t.Fatal(err)
	}
	if size := len(a.GetValue()); size > 1024 || size > len(text)/5 {
		t.Errorf("%d bytes of %d", size, len(text))
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
	a, err := Marshal(usual(), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]typeurl.Any{
		"nothing":   nil,
		"empty":     stored{url: packedType},
		"truncated": stored{packedType, a.GetValue()[:len(a.GetValue())/2]},
		"garbage":   stored{packedType, bytes.Repeat([]byte{0xff}, 100)},
	} {
		if _, err := Unmarshal(bad); !errdefs.IsDataLoss(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
