package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/images"
)

// pinned are the versions that the README names, by how it names them: the module file that pins each, and the module.
var pinned = []struct{ said, file, module string }{
	{"containerd ", "go.mod", "github.com/containerd/containerd/v2"},
	{"containerd ", "cmd/companions/containerd/go.mod", "github.com/containerd/containerd/v2"},
	{"runc ", "cmd/companions/runc/go.mod", "github.com/opencontainers/runc"},
	{"CNI plugins ", "cmd/companions/cni/go.mod", "github.com/containernetworking/plugins"},
	{"cri-api ", "go.mod", "k8s.io/cri-api"},
	{"cri-tools ", "cmd/companions/critools/go.mod", "sigs.k8s.io/cri-tools"},
	{"`critest` v", "cmd/companions/critools/go.mod", "sigs.k8s.io/cri-tools"},
	{"real kubelet v", "cmd/companions/kubelet/go.mod", "k8s.io/kubernetes"},
}

// TestVersionsInREADME: the README names the versions that are pinned.
func TestVersionsInREADME(t *testing.T) {
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	readme := fileText(t, root, "README.md")
	for _, p := range pinned {
		found := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(p.module) + ` v(\S+)`).FindStringSubmatch(fileText(t, root, p.file))
		if found == nil {
			t.Errorf("%s does not pin %s", p.file, p.module)
			continue
		}
		if !strings.Contains(readme, p.said+found[1]) {
			t.Errorf("the README does not say %q, which %s pins", p.said+found[1], p.file)
		}
	}
}

func fileText(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
