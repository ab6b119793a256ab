// Package packedspec keeps OCI specs small in containerd's metadata database.
//
// A spec is ten kilobytes of JSON, nearly all of which is the same for every container: the
// syscalls of the default seccomp profile, the usual mounts, capabilities and paths. In the
// database of the embedded containerd, whose pages are part of this process' memory and are synced
// to the disk at each creation, it is packed into a few hundred bytes. Whoever asks containerd for
// a container gets JSON all the same ([Containers]); only the database itself has it packed.
package packedspec

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	fast "github.com/klauspost/compress/flate"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// jsonType is the type that containerd's clients give a spec in JSON.
	jsonType = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
	// packedPrefix begins the types of packed specs; 1 is JSON, deflated (RFC 1951) with
	// [dictionary]. Another dictionary wants another number, and this one has to be kept for what
	// is stored.
	packedPrefix = "berth.run/oci-spec/deflate."
	packedType   = packedPrefix + "1"
	// maxSpec bounds what a spec is unpacked to, in bytes, should the database be damaged.
	maxSpec = 16 << 20
)

// dictionary is what specs have in common. Those who deflate look at its last 8 KiB.
//
//go:embed dictionary.1.txt
var dictionary []byte

// Pack packs a spec in JSON; anything else is left as it is.
func Pack(a *anypb.Any) (*anypb.Any, error) {
	if a.GetTypeUrl() != jsonType {
		return a, nil
	}
	var out bytes.Buffer
	if err := fast.StatelessDeflate(&out, a.GetValue(), true, dictionary); err != nil {
		return nil, fmt.Errorf("pack the OCI spec: %w", err)
	}
	return &anypb.Any{TypeUrl: packedType, Value: out.Bytes()}, nil
}

// Unpack is the spec as it was before [Pack]; what was never packed is left as it is. One that
// cannot be unpacked is errdefs.ErrDataLoss, one that a newer berthd has packed
// errdefs.ErrFailedPrecondition.
func Unpack(a typeurl.Any) (*anypb.Any, error) {
	if a == nil || !strings.HasPrefix(a.GetTypeUrl(), packedPrefix) {
		return typeurl.MarshalProto(a), nil
	}
	if a.GetTypeUrl() != packedType {
		return nil, fmt.Errorf("the OCI spec was stored by a newer berthd, as %s: %w", a.GetTypeUrl(), errdefs.ErrFailedPrecondition)
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
	return &anypb.Any{TypeUrl: jsonType, Value: text}, nil
}
