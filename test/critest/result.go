package critest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Spec is a test of the suite and how it ended.
type Spec struct {
	// Name is the whole of it, containers first, as -ginkgo.focus matches it.
	Name string
	// Message is why it failed or skipped itself, Location where in the suite.
	Message, Location string
	Duration          time.Duration
}

// Result of a run. Tests that Focus and Skip leave out are in none of the lists.
type Result struct {
	Passed, Failed, Skipped []Spec
}

// String is the three figures in a line.
func (r *Result) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", len(r.Passed), len(r.Failed), len(r.Skipped))
}

// ginkgoReport is the part of ginkgo's JSON report that is of interest here.
type ginkgoReport struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeType            string
		LeafNodeText            string
		State                   string
		RunTime                 time.Duration
		Failure                 struct {
			Message  string
			Location struct {
				FileName   string
				LineNumber int
			}
		}
	}
}

func readReport(path string) (*Result, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var reports []ginkgoReport
	if err := json.Unmarshal(content, &reports); err != nil {
		return nil, fmt.Errorf("reading ginkgo's report %s: %w", path, err)
	}
	result := &Result{}
	for _, report := range reports {
		for _, s := range report.SpecReports {
			spec := Spec{
				Name:     strings.TrimSpace(strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " ")),
				Message:  strings.TrimSpace(s.Failure.Message),
				Location: fmt.Sprintf("%s:%d", s.Failure.Location.FileName, s.Failure.Location.LineNumber),
				Duration: s.RunTime,
			}
			result.add(s.LeafNodeType, s.State, spec)
		}
	}
	return result, nil
}

// add files a spec. What is not a test (BeforeSuite and the like) counts when it
// fails; a test skipped without a message was left out by focus or skip.
func (r *Result) add(kind, state string, spec Spec) {
	if spec.Name == "" {
		spec.Name = "[" + kind + "]"
	}
	switch {
	case state == "passed" && kind == "It":
		r.Passed = append(r.Passed, spec)
	case state == "skipped" && spec.Message != "":
		r.Skipped = append(r.Skipped, spec)
	case state == "passed", state == "skipped", state == "pending":
	default:
		r.Failed = append(r.Failed, spec)
	}
}
