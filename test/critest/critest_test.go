package critest

import (
	"os"
	"path/filepath"
	"testing"
)

const report = `[{"SpecReports": [
 {"ContainerHierarchyTexts": ["[k8s.io] Runtime", "info"], "LeafNodeType": "It", "LeafNodeText": "should answer", "State": "passed", "RunTime": 1500000000},
 {"ContainerHierarchyTexts": ["[k8s.io] AppArmor"], "LeafNodeType": "It", "LeafNodeText": "should enforce", "State": "skipped",
  "Failure": {"Message": "AppArmor is disabled on this host", "Location": {"FileName": "apparmor.go", "LineNumber": 7}}},
 {"ContainerHierarchyTexts": ["[k8s.io] benchmark"], "LeafNodeType": "It", "LeafNodeText": "left out", "State": "skipped", "Failure": {}},
 {"ContainerHierarchyTexts": ["[k8s.io] Image Manager"], "LeafNodeType": "It", "LeafNodeText": "public image with digest should be pulled and removed [Conformance]",
  "State": "failed", "Failure": {"Message": "not found"}},
 {"ContainerHierarchyTexts": ["[k8s.io] Container"], "LeafNodeType": "It", "LeafNodeText": "broke", "State": "panicked", "Failure": {"Message": "boom"}},
 {"LeafNodeType": "BeforeSuite", "State": "passed"},
 {"LeafNodeType": "AfterSuite", "State": "failed", "Failure": {"Message": "late"}}
]}]`

func TestReadReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := result.String(), "1 passed, 3 failed, 1 skipped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := result.Passed[0].Name, "[k8s.io] Runtime info should answer"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	explained := map[string]bool{}
	for _, spec := range append(result.Failed, result.Skipped...) {
		explained[spec.Message] = explain(spec, Expected()) != ""
	}
	for message, want := range map[string]bool{
		"AppArmor is disabled on this host": true, "not found": true, "boom": false, "late": false,
	} {
		if explained[message] != want {
			t.Errorf("%q is explained: %v, want %v", message, explained[message], want)
		}
	}
}

func TestRunNeedsAReport(t *testing.T) {
	if _, err := Run(t.Context(), Options{Binary: "/bin/true", Socket: "/nonexistent"}); err == nil {
		t.Error("a suite that wrote no report counts as run")
	}
}
