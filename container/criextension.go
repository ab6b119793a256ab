package container

import (
	"encoding/json"
	"fmt"

	"github.com/containerd/typeurl/v2"
)

// criExtension is the key of the extension in which tools (nerdctl logs, agents that read logs and attempts) look
// for the metadata of a container of containerd's CRI plugin.
const criExtension = "io.cri-containerd.container.metadata"

// criKindLabel is the label by which nerdctl logs tells that a container has that extension, whatever its value is.
const criKindLabel = "io.cri-containerd.kind"

// criKind is the label's value: containerd's, which agents select by, on a containerd that is Berth's alone. In a
// containerd with a CRI plugin the value is another one, since the plugin takes over every "container" when it starts,
// and would end tasks that are Berth's.
func criKind(external bool) string {
	if external {
		return "berth-container"
	}
	return "container"
}

// criMetadata is the part of containerd's form of that metadata, version v1, that tools read and that does not change:
// Berth itself never reads it.
type criMetadata struct {
	Version  string
	Metadata criMetadataV1
}

type criMetadataV1 struct {
	ID, Name, SandboxID string
	Config              criConfig
	ImageRef, LogPath   string
}

// criConfig has the JSON names of the CRI's ContainerConfig.
type criConfig struct {
	Metadata criName  `json:"metadata"`
	Image    criImage `json:"image"`
	LogPath  string   `json:"log_path,omitempty"`
}

type criName struct {
	Name    string `json:"name"`
	Attempt uint32 `json:"attempt,omitempty"`
}

type criImage struct {
	Image string `json:"image"`
}

// criAny carries the metadata under the type that containerd gives it.
type criAny struct{ value []byte }

func (criAny) GetTypeUrl() string { return "github.com/containerd/cri/pkg/store/container/Metadata" }
func (a criAny) GetValue() []byte { return a.value }

// criMetadataOf describes a container that is being created. Its name is made as containerd's CRI plugin makes names.
func criMetadataOf(n *creation) (typeurl.Any, error) {
	name, pod := n.Config.GetMetadata(), n.Pod.Config.GetMetadata()
	raw, err := json.Marshal(criMetadata{"v1", criMetadataV1{
		ID:        n.ID,
		Name:      fmt.Sprintf("%s_%s_%s_%s_%d", name.GetName(), pod.GetName(), pod.GetNamespace(), pod.GetUid(), name.GetAttempt()),
		SandboxID: n.Pod.ID,
		Config: criConfig{
			Metadata: criName{name.GetName(), name.GetAttempt()}, Image: criImage{n.Config.GetImage().GetImage()}, LogPath: n.Config.GetLogPath(),
		},
		ImageRef: n.image.ID,
		LogPath:  n.LogPath(),
	}})
	if err != nil {
		return nil, fmt.Errorf("encode the metadata for other tools: %w", err)
	}
	return criAny{raw}, nil
}
