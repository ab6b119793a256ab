package imageservice

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-run/berth/internal/budget"
)

// verboseInfo is the JSON object of ImageStatusResponse.info["info"]. The names
// chainID and imageSpec are those that users of other runtimes look for.
type verboseInfo struct {
	ChainID   string               `json:"chainID"`
	Target    ocispec.Descriptor   `json:"target"`
	Manifest  ocispec.Descriptor   `json:"manifest"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Names     []string             `json:"names"`
	ImageSpec json.RawMessage      `json:"imageSpec,omitempty"`
	// Note says why there is no imageSpec.
	Note string `json:"note,omitempty"`
}

// VerboseInfo returns ImageStatusResponse.info: one key "info" with a JSON object
// of chainID, target, manifest, layers, record names and configuration. The configuration is read
// from the content store; one of more than budget.ReportedConfig bytes is left out.
func (s *Service) VerboseInfo(ctx context.Context, img *Image) (map[string]string, error) {
	info := verboseInfo{
		ChainID: img.ChainID, Target: img.Target, Manifest: img.Manifest, Layers: img.Layers, Names: reported(img.Names),
	}
	ctx, cancel := context.WithTimeout(s.withNamespace(ctx), storeTimeout)
	defer cancel()
	config := ocispec.Descriptor{Digest: digest.Digest(img.ID), Size: img.ConfigSize, MediaType: "configuration"}
	raw, err := readSmall(ctx, s.client.ContentStore(), config, budget.ReportedConfig)
	switch {
	case err != nil:
		info.Note = fmt.Sprintf("no imageSpec: %v", err)
	default:
		info.ImageSpec = raw
	}
	b, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", img.ID, err)
	}
	return map[string]string{"info": string(b)}, nil
}
