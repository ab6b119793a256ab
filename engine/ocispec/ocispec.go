// Package ocispec keeps OCI specs small in containerd's metadata database.
//
// A spec is ten kilobytes of JSON, nearly all of which is the same for every container: the
// syscalls of the default seccomp profile, the usual mounts, capabilities and paths. In the
// database of an embedded containerd, whose pages are part of this process' memory and are synced
// to the disk at each creation, it is packed into a few hundred bytes. An external containerd
// gets JSON, since it hands specs to shims itself.
package ocispec

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	fast "github.com/klauspost/compress/flate"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// jsonType is the type that containerd's clients give a spec in JSON.
	jsonType = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
	// packedType is the type of a packed spec: JSON, deflated (RFC 1951) with [dictionary]. Another
	// dictionary wants another type, and this one has to be kept for what is stored.
	packedType = "berth.run/oci-spec/deflate.1"
	// maxSpec bounds what a spec is unpacked to, in bytes, should the database be damaged.
	maxSpec = 16 << 20
)

// dictionary is what specs have in common. Those who deflate look at its last 8 KiB.
//
//go:embed dictionary.1.txt
var dictionary []byte

// stored is a spec as containerd stores it.
type stored struct {
	url   string
	value []byte
}

// GetTypeUrl implements typeurl.Any.
func (s stored) GetTypeUrl() string { return s.url }

// GetValue implements typeurl.Any.
func (s stored) GetValue() []byte { return s.value }

// Marshal encodes a spec for a container's record: packed, or as the JSON that every containerd
// and its clients understand.
func Marshal(s *specs.Spec, pack bool) (typeurl.Any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the OCI spec: %w", err)
	}
	if !pack {
		return stored{jsonType, text}, nil
	}
	var out bytes.Buffer
	if err := fast.StatelessDeflate(&out, text, true, dictionary); err != nil {
		return nil, fmt.Errorf("pack the OCI spec: %w", err)
	}
	return stored{packedType, out.Bytes()}, nil
}

// Unpack is the spec of a container's record in JSON, whether it was packed or not. One that
// cannot be unpacked is errdefs.ErrDataLoss.
func Unpack(a typeurl.Any) (typeurl.Any, error) {
	if a == nil {
		return nil, fmt.Errorf("the record has no OCI spec: %w", errdefs.ErrDataLoss)
	}
	if a.GetTypeUrl() != packedType {
		return a, nil
	}
	r := flate.NewReaderDict(bytes.NewReader(a.GetValue()), dictionary)
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	if err != nil {
		return nil, fmt.Errorf("unpack the OCI spec: %w: %w", err, errdefs.ErrDataLoss)
	}
	if len(text) > maxSpec {
		return nil, fmt.Errorf("the OCI spec is larger than %d bytes: %w", maxSpec, errdefs.ErrDataLoss)
	}
	return stored{jsonType, text}, nil
}

// Unmarshal decodes the spec of a container's record; errdefs.ErrDataLoss when it cannot be.
func Unmarshal(a typeurl.Any) (*specs.Spec, error) {
	plain, err := Unpack(a)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(plain.GetValue(), s); err != nil {
		return nil, fmt.Errorf("decode the OCI spec: %w: %w", err, errdefs.ErrDataLoss)
	}
	return s, nil
}
