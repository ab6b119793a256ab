package imageservice

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// verboseInfo is the JSON object of ImageStatusResponse.info["info"]. The names
// chainID and imageSpec are those that users of other runtimes look for.
type verboseInfo struct {
	ChainID   string               `json:"chainID"`
	Target    ocispec.Descriptor   `json:"target"`
	Manifest  ocispec.Descriptor   `json:"manifest"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Names     []string             `json:"names"`
	ImageSpec json.RawMessage      `json:"imageSpec"`
}

// VerboseInfo returns ImageStatusResponse.info: one key "info" with a JSON object
// of chainID, target, manifest, layers, record names and configuration.
func (s *Service) VerboseInfo(img *Image) (map[string]string, error) {
	b, err := json.Marshal(verboseInfo{
		ChainID: img.ChainID, Target: img.Target, Manifest: img.Manifest, Layers: img.Layers,
		Names: img.Names, ImageSpec: img.RawConfig,
	})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", img.ID, err)
	}
	return map[string]string{"info": string(b)}, nil
}
