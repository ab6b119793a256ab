package images

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-run/berth/test/registry"
)

// Images that cannot be pulled, each for the reason in its name.
const (
	// BadManifest has a manifest that is no JSON.
	BadManifest = "berth.test/bad:manifest"
	// BadConfig has a configuration that is no JSON.
	BadConfig = "berth.test/bad:config"
	// BadDiffID has a configuration with another diff ID than its layer's.
	BadDiffID = "berth.test/bad:diffid"
	// BadLayerDigest has a layer whose content is not that of its digest.
	BadLayerDigest = "berth.test/bad:layer-digest"
	// BadLayerSize has a layer that is longer than its descriptor says.
	BadLayerSize = "berth.test/bad:layer-size"
	// BadLayerFormat has a layer that is no archive.
	BadLayerFormat = "berth.test/bad:layer-format"
	// MissingLayer has a layer that the registry does not have.
	MissingLayer = "berth.test/bad:layer-missing"
	// EscapingLayer has an entry that would be outside the root filesystem.
	EscapingLayer = "berth.test/bad:layer-escape"
)

// raw is an image in parts, to be put together wrongly.
type raw struct {
	config, layer []byte
	// layerDigest and layerSize are those of layer, unless set.
	layerDigest v1.Hash
	layerSize   int64
	noLayer     bool
}

func (s *Set) pushBroken(reg *registry.Registry) error {
	layer, err := Layer([]File{{Path: "file", Body: []byte(strings.Repeat("content\n", 100))}})
	if err != nil {
		return err
	}
	img, err := Build(Spec{Layers: []v1.Layer{layer}, Config: v1.Config{Cmd: []string{"sh"}}})
	if err != nil {
		return err
	}
	goodConfig, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	goodLayer, err := tarOf([]File{{Path: "file", Body: []byte("content\n")}})
	if err != nil {
		return err
	}
	escaping, err := tarOf([]File{{Path: "../../../../../../tmp/berth-escaped", Body: []byte("escaped\n")}})
	if err != nil {
		return err
	}
	configFor := func(layer []byte) []byte { return withDiffID(goodConfig, digestOf(layer)) }
	noArchive := []byte("this is no archive\n")
	return pushRaw(reg, map[string]raw{
		BadConfig:      {config: []byte("{not json"), layer: goodLayer},
		BadDiffID:      {config: configFor([]byte("another")), layer: goodLayer},
		BadLayerDigest: {config: configFor(goodLayer), layer: goodLayer, layerDigest: digestOf([]byte("promised"))},
		BadLayerSize:   {config: configFor(goodLayer), layer: goodLayer, layerSize: 100},
		BadLayerFormat: {config: configFor(noArchive), layer: noArchive},
		MissingLayer:   {config: configFor(goodLayer), layer: []byte("never stored"), noLayer: true},
		EscapingLayer:  {config: configFor(escaping), layer: escaping},
	})
}

func pushRaw(reg *registry.Registry, images map[string]raw) error {
	for name, img := range images {
		if img.layerDigest == (v1.Hash{}) {
			img.layerDigest = digestOf(img.layer)
		}
		if img.layerSize == 0 {
			img.layerSize = int64(len(img.layer))
		}
		reg.PutBlob(digestOf(img.config), img.config)
		if !img.noLayer {
			reg.PutBlob(img.layerDigest, img.layer)
		}
		manifest, err := json.Marshal(v1.Manifest{
			SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
			Config: v1.Descriptor{
				MediaType: types.OCIConfigJSON, Digest: digestOf(img.config), Size: int64(len(img.config)),
			},
			Layers: []v1.Descriptor{{
				MediaType: types.OCIUncompressedLayer, Digest: img.layerDigest, Size: img.layerSize,
			}},
		})
		if err != nil {
			return fmt.Errorf("manifest of %s: %w", name, err)
		}
		if err := reg.PutManifest(name, types.OCIManifestSchema1, manifest); err != nil {
			return err
		}
	}
	return reg.PutManifest(BadManifest, types.OCIManifestSchema1, []byte("{not json"))
}

func digestOf(content []byte) v1.Hash {
	h, _, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		panic(err) // reading memory does not fail
	}
	return h
}

// withDiffID replaces the layers of a configuration by one with the given diff ID.
func withDiffID(config []byte, diffID v1.Hash) []byte {
	var file v1.ConfigFile
	if err := json.Unmarshal(config, &file); err != nil {
		panic(err) // it was marshalled here
	}
	file.RootFS.DiffIDs = []v1.Hash{diffID}
	file.History = nil
	out, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return out
}
